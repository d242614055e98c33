"""Pictures; the only module that imports matplotlib."""

__all__ = ["training_curve"]


def training_curve(path, history):
    """Draw how a fine-tuning went, and write it as PNG.

    Parameters
    ----------
    path : str or path-like
        File to write.
    history : sequence of dict
        With 'stage', 'round', 'own' and 'synthetic', see `FineTuned.history`.

    Raises
    ------
    ImportError
        If matplotlib is missing.
    """
    # The class and not pyplot, which keeps figures and a backend for the whole process.
    from matplotlib.figure import Figure

    titles = {
        "edge": "products over the best interval",
        "judge": "products over the single interval",
    }
    stages = [s for s in titles if any(h["stage"] == s for h in history)]
    figure = Figure(figsize=(4.5 * len(stages), 3.2), layout="constrained")
    row = figure.subplots(1, len(stages), squeeze=False)[0]
    for stage, axes in zip(stages, row, strict=True):
        rounds = [h for h in history if h["stage"] == stage]
        for name, label in (("own", "your matrices"), ("synthetic", "synthetic")):
            axes.plot(
                [h["round"] for h in rounds],
                [h[name] for h in rounds],
                marker="o",
                label=f"{label}, held out",
            )
        axes.set_title(f"{stage}: {titles[stage]}", fontsize="medium")
        axes.set_xlabel("round")
        axes.set_xticks([h["round"] for h in rounds])
        axes.legend()
    figure.savefig(path, dpi=120, metadata={"Software": None})
