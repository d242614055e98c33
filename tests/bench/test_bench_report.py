"""The report says what the rows say: numbers by hand, one file, robust to half rows."""

import json
import math
import re
from html.parser import HTMLParser

import pytest

report = pytest.importorskip("bench.report", reason="bench/ is not part of the wheel")

from bench import report_numbers as numbers  # noqa: E402
from bench.report_charts import histories, profile_chart  # noqa: E402
from bench.report_data import read  # noqa: E402
from bench.report_page import page  # noqa: E402
from bench.report_readme import BEGIN, END, section  # noqa: E402
from bench.report_table import show, times  # noqa: E402

HEADER = {
    "kind": "header",
    "machine": {"cpu": "a CPU", "cores": 2},
    "threads": 1,
    "versions": {"numpy": "2.4.6"},
    "package_version": "0.1.0",
    "settings": {"rtol": 1e-8},
}
VOID = {"meta", "link", "br", "hr", "img", "input"}


def row(problem, method, products=10, seconds=1.0, status="converged", **more):
    """Make a row; `seconds` are those of the solve."""
    solved = status == "converged"
    return {
        "kind": "row",
        "problem": problem,
        "n": 100,
        "nnz": 500,
        "class": "spd",
        "solver": "cg",
        "method": method,
        "repeat": 0,
        "status": status,
        "reason": "" if solved else "because",
        "iterations": products if solved else None,
        "products": products if solved else None,
        "setup_seconds": 0.0,
        "solve_seconds": seconds if solved else None,
        "residual": 1e-9 if solved else None,
        **more,
    }


@pytest.fixture
def results(tmp_path):
    def make(rows, header=HEADER, tail=""):
        path = tmp_path / "results.jsonl"
        lines = [json.dumps(entry) for entry in [header, *rows]]
        path.write_text("\n".join(lines) + "\n" + tail, encoding="utf-8")
        return path

    return make


def three_problems():
    """Return what the profiles below were worked out from by hand."""
    return [
        row("a", "ours", 20),
        row("a", "none", 10),
        row("b", "ours", 10),
        row("b", "none", 40),
        row("c", "ours", status="timeout"),
        row("c", "none", 30),
    ]


class Page(HTMLParser):
    """Notes tags that are not closed, addresses, and the problems of the big table."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.wrong, self.addresses, self.tags = [], [], [], []
        self.heads, self.in_results = [], False

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attrs = dict(attrs)
        self.addresses += [v for k, v in attrs.items() if k in ("src", "href", "srcset")]
        self.in_results |= attrs.get("id") == "results"
        if tag not in VOID:
            self.open.append(tag)
        if self.in_results and tag == "th" and attrs.get("scope") == "row":
            self.heads.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)
        if tag == "table":
            self.in_results = False

    def handle_data(self, data):
        if self.in_results and self.open[-1:] == ["th"] and self.heads:
            self.heads[-1] += data


def parse(text):
    parsed = Page()
    parsed.feed(text)
    parsed.close()
    return parsed


def test_profile_by_hand(results):
    cases = read(results(three_problems())).cases
    ratios = numbers.performance_ratios(cases, ["ours", "none"], "products")
    assert ratios == {"ours": [2.0, 1.0, math.inf], "none": [1.0, 4.0, 1.0]}
    third = pytest.approx(1 / 3)
    assert numbers.profile(ratios["ours"]) == [(1.0, third), (2.0, pytest.approx(2 / 3))]
    assert numbers.profile(ratios["none"]) == [(1.0, pytest.approx(2 / 3)), (4.0, 1.0)]


def test_failures_stay_at_infinity_in_the_chart(results):
    cases = read(results(three_problems())).cases
    chart = profile_chart("spd", "SPD", cases, ["ours", "none"], "products")
    ours, none = chart.series
    assert ours.points[-1] == (4.0, pytest.approx(2 / 3))
    assert none.points[-1] == (4.0, 1.0)
    assert (ours.note, none.note) == ("67 %", "100 %")


def test_case_that_nobody_solves_lowers_every_profile(results):
    rows = [
        *three_problems(),
        row("d", "ours", status="failed"),
        row("d", "none", status="failed"),
    ]
    cases = read(results(rows)).cases
    ratios = numbers.performance_ratios(cases, ["ours", "none"], "products")
    assert numbers.profile(ratios["none"])[-1][1] == 0.75


def test_profile_by_seconds_includes_the_setup(results):
    rows = [row("a", "ours", seconds=1.0, setup_seconds=2.0), row("a", "none", seconds=1.5)]
    ratios = numbers.performance_ratios(
        read(results(rows)).cases, ["ours", "none"], "total_seconds"
    )
    assert ratios == {"ours": [2.0], "none": [1.0]}


def test_rivalry_by_hand(results):
    facts = numbers.rivalry(read(results(three_problems())).cases, "none")
    assert (facts.both, facts.only_ours, facts.only_rival, facts.neither) == (2, 0, 1, 0)
    products = facts.ratios["products"]
    assert products.mean == pytest.approx(math.sqrt(2 * 0.25))
    assert (products.wins, products.losses) == (1, 1)


def test_method_that_is_not_installed_is_no_rival(results):
    rows = [row("a", "ours"), row("a", "pyamg-sa", status="not installed")]
    found = read(results(rows))
    assert found.methods == ["ours"]
    assert found.absent == ["pyamg-sa"]
    assert numbers.rivalry(found.cases, "pyamg-sa").n_cases == 0


@pytest.mark.parametrize(
    ("seconds", "failed", "median"),
    [([3.0, 1.0, 2.0], 0, 2.0), ([1.0, 2.0], 1, 2.0), ([1.0], 2, None), ([1.0], 1, None)],
)
def test_median_takes_failed_repeats_as_infinite(results, seconds, failed, median):
    good = [row("a", "ours", seconds=s, repeat=k) for k, s in enumerate(seconds)]
    bad = [row("a", "ours", status="timeout", repeat=9 + k) for k in range(failed)]
    (case,) = read(results(good + bad)).cases
    assert case.median("ours", "total_seconds") == median
    assert case.solved("ours") is (median is not None)


def test_fill_levels_are_one_rival_the_fastest_per_problem(results):
    rows = [
        row("a", "ic0", seconds=3.0),
        row("a", "ict-10", seconds=1.0, setup_seconds=1.0),
        row("a", "ict-50", status="out of memory"),
        row("b", "ic0", status="failed"),
        row("b", "ict-10", status="failed"),
    ]
    a, b = read(results(rows)).cases
    assert list(a.cells) == ["best IC"]
    assert a.cells["best IC"].method == "ict-10"
    assert not b.solved("best IC")


def test_work_is_what_the_parts_sum_to(results):
    parts = {"base": 5, "preconditioner": 7.5, "generation": 2}
    (case,) = read(
        results([row("a", "ours", work=parts), row("a", "none", work=None)])
    ).cases
    assert case.median("ours", "work") == 14.5
    assert case.median("none", "work") is None


def test_method_made_for_none_of_the_cases_is_left_out_and_ours_never(results):
    rows = [
        row("a", "ours", status="not supported"),
        row("a", "ilu0", status="not supported"),
        row("a", "splu", status="failed"),
    ]
    found = read(results(rows))
    assert numbers.fitting(found.cases, found.methods) == ["ours", "splu"]
    assert "Not made for these problems, or not run: best ILU." in page(found)


@pytest.mark.parametrize(
    ("ours", "rival", "k"),
    [
        ((10.0, 1.0), (0.0, 3.0), 5.0),  # 10 + k <= 3 k
        ((1.0, 1.0), (0.0, 3.0), 1.0),
        ((1.0, 3.0), (0.0, 3.0), math.inf),
        ((0.0, 2.0), (5.0, 1.0), -5.0),  # 2 k <= 5 + k
    ],
)
def test_break_even(results, ours, rival, k):
    rows = [
        row("a", "ours", setup_seconds=ours[0], seconds=ours[1]),
        row("a", "jacobi", setup_seconds=rival[0], seconds=rival[1]),
    ]
    (case,) = read(results(rows)).cases
    assert numbers.break_even(case, "jacobi") == k


def test_worst_lists_failures_first_and_leaves_out_what_is_not_supported(results):
    rows = [
        *three_problems(),
        row("d", "ours", seconds=3.0),
        row("d", "jacobi"),
        row("e", "ours", status="not supported", **{"class": "general"}),
        row("e", "none", **{"class": "general"}),
    ]
    found = numbers.worst(read(results(rows)).cases)
    assert [(case.problem, ratio) for case, _, ratio in found[:2]] == [
        ("c", math.inf),
        ("d", 3.0),
    ]
    assert "e" not in [case.problem for case, _, _ in found]


def test_page_is_one_file_that_loads_nothing(results):
    text = page(read(results(three_problems())))
    parsed = parse(text)
    assert all(address.startswith("#") for address in parsed.addresses)
    assert not set(parsed.tags) & {"link", "img", "iframe", "object", "embed"}
    assert not re.search(r"https?:|url\(|@import|fetch\(", text)


def test_page_parses_and_has_a_row_per_problem(results):
    parsed = parse(page(read(results(three_problems()))))
    assert parsed.wrong == []
    assert parsed.open == []
    assert sorted(parsed.heads) == ["a · cg", "b · cg", "c · cg"]


def test_page_is_the_same_each_time(results):
    path = results(three_problems())
    assert page(read(path)) == page(read(path))


def test_page_shows_failures_as_words_with_their_reasons(results):
    rows = [*three_problems(), row("<b>&", "ours", status="failed", reason="<script>")]
    text = page(read(results(rows)))
    assert "timeout" in text
    assert "because" in text
    assert "(&lt;script&gt;)" in text
    assert text.count("<script>") == 1
    assert "<b>&" not in text.replace("<b>&lt;b&gt;&amp;", "")


def half_rows():
    """Return rows as an interrupted or broken run leaves them."""
    bare = {"kind": "row", "problem": "bare", "method": "ours", "status": "failed"}
    return [
        bare,
        {**bare, "method": "none", "status": None},
        {**bare, "method": "jacobi", "status": "converged"},
        {
            "kind": "row",
            "problem": "x.mtx",
            "status": "unreadable",
            "reason": "is not square",
        },
        {"kind": "row", "problem": "y", "method": None},
        {"kind": "row"},
        {"kind": "something else"},
        row("nulls", "ours", products=None, seconds=None),
        row("nulls", "none", residual=float("nan"), solve_seconds=float("inf")),
        row("zero", "ours", products=0, seconds=0.0),
        row("zero", "none", products=0, seconds=0.0, tolerances={"1e-2": None}),
        row(
            "odd",
            "a new one",
            tolerances={"loose": {"products": 3}},
            history=[1, None, "x"],
        ),
        row("odd", "ours", tolerances={"loose": {"products": 3}}, n="many"),
    ]


def test_half_rows_and_nulls_make_a_page(results):
    found = read(results(half_rows(), tail='{"kind": "row", "prob\n[1, 2]\n'))
    assert found.bad_lines == 4
    assert found.unreadable["x.mtx"] == "is not square"
    parsed = parse(page(found))
    assert parsed.wrong == []
    assert len(parsed.heads) == len(found.cases) == 4
    assert section(found).startswith(BEGIN)


def test_group_that_ours_does_not_support_is_said_once(results):
    kind = {"class": "general"}
    rows = [row("a", "ours", status="not supported", **kind), row("a", "none", **kind)]
    found = read(results(rows))
    assert "supports none of the 1 indefinite and general problems" in section(found)
    text = page(found)
    assert "Ours supports none of these 1" in text
    assert "ours against" not in text


@pytest.mark.parametrize("rows", [[row("a", "splu")], [row("a", "none")], half_rows()[3:4]])
def test_page_without_ours_or_without_cases(results, rows):
    found = read(results(rows, header={"kind": "header"}))
    assert parse(page(found)).wrong == []
    section(found)


def test_row_that_lacks_facts_joins_the_others_of_its_problem(results):
    bare = {"kind": "row", "problem": "a", "method": "ours", "status": "timeout"}
    (case,) = read(results([bare, row("a", "none", rhs="random")])).cases
    assert case.facts["nnz"] == 500
    assert list(case.cells) == ["ours", "none"]


@pytest.mark.parametrize(
    ("history", "points"),
    [
        ([1.0, 0.5, 0.1], [(2.0, 1.0), (6.0, 0.5), (10.0, 0.1)]),
        ([[0, 1.0], [10, 0.1]], [(0.0, 1.0), (10.0, 0.1)]),
        ([[1, 9, 0.01, 0.5], [2, 18, 0.02, None]], [(9.0, 0.5)]),
        ([{"products": 3, "residual": 0.2}, None], [(3.0, 0.2)]),
    ],
)
def test_history_may_be_residuals_pairs_or_records(results, history, points):
    rows = [row("a", "ours", setup_products=2, history=history)]
    (case,) = read(results(rows)).cases
    assert histories(case) == {"ours": points}


def test_report_writes_the_page_beside_the_results(results, capsys):
    path = results([row("a", "ours", history=[1.0, 0.1]), row("a", "none")])
    assert report.main([str(path), "--history", "a"]) == 0
    out = path.with_suffix(".html")
    assert capsys.readouterr().out == f"{out}\n"
    assert "Residual history: a" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--history", "z"], "takes a problem of the file; got 'z'. It has a, b, c."),
        (["--history", "a"], "recorded residuals; got 'a'. Recorded: none."),
    ],
)
def test_report_says_what_is_missing(results, capsys, arguments, message):
    assert report.main([str(results(three_problems())), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_report_of_a_file_without_rows(results, capsys):
    assert report.main([str(results([]))]) == 2
    assert "must hold rows; got none" in capsys.readouterr().err


def test_readme_is_rewritten_between_its_markers(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    path = results(three_problems())
    for _ in range(2):
        assert report.main([str(path), "--readme", str(readme)]) == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n\n3 cases on a CPU, 2 cores, threads 1")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "old" not in text
    assert "| none | 2 | ▼ 0.71 |" in text
    assert "| c · cg | none | 1 | timeout | ours fails |" in text
    assert not path.with_suffix(".html").exists()


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_readme_without_its_markers_stays_as_it_is(results, tmp_path, capsys, text):
    readme = tmp_path / "README.md"
    readme.write_text(text, encoding="utf-8")
    assert report.main([str(results(three_problems())), "--readme", str(readme)]) == 2
    assert "once each, in this order; got" in capsys.readouterr().err
    assert readme.read_text(encoding="utf-8") == text


def test_png_files(results, tmp_path):
    pytest.importorskip("matplotlib")
    rows = [row("a", "ours", history=[1.0, 0.1]), row("a", "none", 30), row("a", "new", 5)]
    folder = tmp_path / "png"
    path = str(results(rows))
    assert report.main([path, "--png", str(folder), "--history", "a"]) == 0
    names = sorted(file.name for file in folder.iterdir())
    assert names == [
        "history-a-cg.png",
        "profile-spd-products.png",
        "profile-spd-total-seconds.png",
        "ratios-spd-products.png",
        "ratios-spd-total-seconds.png",
    ]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in folder.iterdir())


@pytest.mark.parametrize(
    ("value", "quantity", "text"),
    [
        (None, "products", "–"),
        (12345.0, "products", "12\u202f345"),
        (0.00042, "total_seconds", "0.0004"),
        (1e-6, "total_seconds", "<0.0001"),
        (0.0, "setup_seconds", "0"),
        (1.23456, "solve_seconds", "1.23"),
        (123.4, "solve_seconds", "123"),
    ],
)
def test_numbers_as_shown(value, quantity, text):
    assert show(value, quantity) == text


def test_ratios_carry_a_sign_that_needs_no_colour():
    assert [times(r) for r in (0.5, 1.0, 2.0, math.inf)] == [
        "▼ 0.50",
        "= 1.00",
        "▲ 2.00",
        "ours fails",
    ]
