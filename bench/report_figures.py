"""Draw the charts as PNG files, with matplotlib; imported only where they are asked for."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.report_charts import Strip, style

__all__ = ["save"]

_DPI = 150


def save(charts, methods, folder):
    """Write a PNG file per chart into a folder, made if needed; return their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for chart in charts:
        path = folder / f"{chart.name}.png"
        figure = _strip(chart) if isinstance(chart, Strip) else _lines(chart, methods)
        FigureCanvasAgg(figure)
        # Without the version of matplotlib in it: the same results give the same bytes.
        figure.savefig(path, dpi=_DPI, metadata={"Software": None})
        paths.append(path)
    return paths


def _lines(chart, methods):
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    _scales(axes, chart.xticks, chart.xlog, chart.yticks, chart.ylog)
    for k, line in reversed(list(enumerate(chart.series))):
        look = style(line.method, methods)
        xs, ys = zip(*line.points, strict=True)
        axes.plot(
            xs,
            ys,
            drawstyle="steps-post" if chart.steps else "default",
            color=look.light,
            linewidth=look.width,
            # matplotlib counts dashes in widths of the line
            linestyle=(0, tuple(d / look.width for d in look.dash)) if look.dash else "-",
            marker=look.marker,
            markersize=6,
            markerfacecolor=look.light if look.filled else "white",
            markevery=(k * max(1, len(xs) // 20) % len(xs), max(1, len(xs) // 4)),
            label=f"{line.method} {line.note}",
            clip_on=False,
            zorder=3 if line.method == "ours" else 2,
        )
    handles, labels = axes.get_legend_handles_labels()
    ends = {f"{line.method} {line.note}": line.points[-1][1] for line in chart.series}
    order = sorted(range(len(labels)), key=lambda k: -ends[labels[k]])
    figure.legend(
        [handles[k] for k in order],
        [labels[k] for k in order],
        loc="outside right upper",
        frameon=False,
        fontsize=9,
        handlelength=4.5,
        title="in the order of the lines' ends" if chart.steps else None,
        title_fontsize=8,
    )
    axes.set(title=chart.title, xlabel=chart.xlabel, ylabel=chart.ylabel)
    return figure


def _strip(strip):
    n = len(strip.rows)
    figure = Figure(figsize=(8, 1.4 + 0.4 * n), layout="constrained")
    axes = figure.add_subplot()
    _scales(axes, strip.xticks, True, (), False)
    axes.set_ylim(n - 0.5, -0.5)
    axes.set_yticks(range(n), [row.method for row in strip.rows])
    axes.grid(False, axis="y")
    axes.axvline(1, color="black", linewidth=1.2)
    low, high = strip.xticks[0][0], strip.xticks[-1][0]
    for k, row in enumerate(strip.rows):
        for j, (ratio, _) in enumerate(row.ratios):
            beyond = "<" if ratio < low else ">" if ratio > high else "o"
            axes.plot(
                min(max(ratio, low), high),
                k + 0.13 * (j % 5 - 2),
                beyond,
                color="black" if ratio >= 1 else "#0b57a4",
                markerfacecolor="#0b57a4" if ratio < 1 else "none",
                markersize=4.5,
                clip_on=False,
            )
        if row.mean is not None:
            place = min(max(row.mean, low), high)
            axes.plot([place, place], [k - 0.4, k + 0.4], color="black", linewidth=2.5)
        counts = f"only ours {row.only_ours}, only rival {row.only_rival}"
        axes.annotate(
            counts, (1.02, k), xycoords=("axes fraction", "data"), fontsize=8, va="center"
        )
    label = f"◀ ours less     {strip.xlabel}     ours more ▶\n(bar: geometric mean)"
    axes.set(title=strip.title, xlabel=label)
    return figure


def _scales(axes, xticks, xlog, yticks, ylog):
    for axis, ticks, log in ((axes.xaxis, xticks, xlog), (axes.yaxis, yticks, ylog)):
        if ticks:
            places = [value for value, _ in ticks]
            if log:
                name = "x" if axis is axes.xaxis else "y"
                getattr(axes, f"set_{name}scale")("log")
            axis.set_ticks(places, [text for _, text in ticks])
            axis.set_ticks([], minor=True)
            limits = axes.set_xlim if axis is axes.xaxis else axes.set_ylim
            limits(min(places), max(places))
    axes.grid(True, color="#d5d9df", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
