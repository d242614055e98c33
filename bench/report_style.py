"""The style sheet and the script of the page; both stand in it, nothing is loaded."""

__all__ = ["CSS", "SCRIPT", "VIEWS", "view_rules"]

# What the big table can show; the first is shown at the start.
VIEWS = {
    "products": "products",
    "work": "work",
    "iterations": "iterations",
    "setup_seconds": "setup s",
    "solve_seconds": "solve s",
    "total_seconds": "total s",
    "residual": "true residual",
    "all": "everything",
}

CSS = """
:root{color-scheme:light dark;--paper:#fff;--ink:#16181d;--soft:#565c66;--line:#d5d9df;
--band:#f3f5f8;--mark:#0b57a4}
@media(prefers-color-scheme:dark){:root{--paper:#14161a;--ink:#e9ebef;--soft:#a6adb8;
--line:#383d46;--band:#1e2127;--mark:#7db9ff}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:82rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",
sans-serif}
h1{font-size:1.6rem;line-height:1.2;margin:.2rem 0 .8rem}
h2{font-size:1.25rem;margin:2.4rem 0 .5rem;padding-top:.5rem;
border-top:2px solid var(--line)}
h3{font-size:1.05rem;margin:1.4rem 0 .4rem}
p,ul{max-width:46rem;margin:.5rem 0}
a{color:var(--mark)}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin-bottom:.8rem}
.soft,figcaption{color:var(--soft);font-size:.9rem}
.gate{border:2px solid var(--ink);padding:.5rem .8rem;border-radius:.3rem;max-width:46rem}
.gate ul{margin:.3rem 0 0;padding-left:1.2rem;font-size:.9rem}
.scroll{overflow:auto;width:fit-content;max-width:100%;
border:1px solid var(--line);border-radius:.3rem;max-height:85vh}
table{border-collapse:separate;border-spacing:0;font-size:.9rem}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--line);
white-space:nowrap;font-variant-numeric:tabular-nums}
thead th{position:sticky;top:0;background:var(--band);vertical-align:bottom;z-index:1;
white-space:normal;line-height:1.25}
th:first-child{position:sticky;left:0;text-align:left;background:var(--paper);z-index:1;
border-right:1px solid var(--line)}
thead th:first-child{background:var(--band);z-index:2}
tbody tr:nth-child(even)>*{background:var(--band)}
td.text,#results th:nth-child(2){text-align:left}
tbody th{font-weight:600}
th button{all:unset;cursor:pointer;font-weight:700}
th button:focus-visible,.views label:focus-within,summary:focus-visible{
outline:2px solid var(--mark);outline-offset:2px}
th button::after{content:" \\2195";color:var(--soft);font-weight:400}
th[aria-sort=ascending] button::after{content:" \\25B2";color:var(--ink)}
th[aria-sort=descending] button::after{content:" \\25BC";color:var(--ink)}
td .spread,td small{display:block;color:var(--soft);font-size:.78rem}
#results [data-v] small,#results [data-v] .spread{display:inline;margin:0 .4em}
span[data-v]{display:block}
td i{font-size:.82rem}
.best b::before{content:"\\2605\\2009"}
td b{font-weight:400}
.best b{font-weight:700}
.views{display:flex;flex-wrap:wrap;gap:.3rem;margin:.6rem 0;padding:0;border:0}
.views legend{padding:0;margin-bottom:.2rem}
.views label{border:1px solid var(--soft);border-radius:.3rem;padding:.2rem .6rem;
cursor:pointer}
.views label:has(:checked){background:var(--ink);color:var(--paper);font-weight:700}
.views input{accent-color:currentColor;margin:0 .4rem 0 0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));
gap:1.2rem}
figure{margin:0;min-width:0}
figure svg{width:100%;height:auto;display:block;max-width:44rem;overflow:visible}
figcaption b{color:var(--ink);font-size:1rem}
svg text{font-size:13px;fill:var(--ink)}
svg text.small{font-size:11px;fill:var(--soft)}
svg .grid{stroke:var(--line);stroke-width:1;fill:none}
svg .one{stroke:var(--ink);stroke-width:1.4;fill:none}
svg .leader{stroke:var(--soft);stroke-width:.7;fill:none}
svg .mean{stroke:var(--ink);stroke-width:3;fill:none}
svg .win{fill:var(--mark);fill-opacity:.75;stroke:none}
svg .loss{fill:none;stroke:var(--ink);stroke-width:1.3}
svg.sample{width:3rem;height:1rem;vertical-align:middle}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.5rem 0;
font-size:.9rem}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
details{margin:.5rem 0}
summary{cursor:pointer}
@media(max-width:40rem){body{padding:.6rem}
#results th:first-child{min-width:8.5rem;max-width:8.5rem;white-space:normal;
overflow-wrap:anywhere}
dl{grid-template-columns:1fr}dt{margin-top:.3rem}}
@media print{.scroll{max-height:none;overflow:visible}}
"""

# Numbers first, smallest on top; cells without a number (failures, words) always last.
SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const view = document.querySelector("input[name=view]:checked");
      const shown = !view || view.value === "all" ? "total_seconds" : view.value;
      const key = (row) => {
        const data = row.cells[column].dataset;
        return data.sort ?? data[shown] ?? "";
      };
      const order = (a, b) => {
        const [s, t] = [key(a), key(b)];
        if (s === "" || t === "") return (s === "") - (t === "");
        const number = s - t;
        const sign = Number.isNaN(number) ? s.localeCompare(t) : number;
        return down ? -sign : sign;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    });
  });
}
"""


def view_rules():
    """Return the CSS by which the chosen quantity alone is shown, without a script."""
    rules = []
    for view in VIEWS:
        if view != "all":
            hidden = f"#results:has(#view-{view}:checked) [data-v]:not([data-v={view}])"
            rules.append(f"{hidden}{{display:none}}")
    rules.append(
        "#results:has(#view-all:checked) span[data-v]:not([data-v=all]){display:none}"
    )
    rules.append("#results:not(:has(#view-all:checked)) small.what{display:none}")
    rules.append("#results:not(:has(#view-all:checked)) .spread{display:block}")
    # No :has() in a browser: everything is shown, nothing is lost.
    return f"@supports selector(:has(*)){{{''.join(rules)}}}"
