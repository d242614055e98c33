"""The evaluation of the engine: figures, tables, command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from problems import poisson2d

pytest.importorskip("bench.methods")

import autospec_precond as ap
from bench import (
    engine,
    engine_measure,
    engine_methods,
    engine_picture,
    engine_report,
    engine_summary,
)

ROOT = Path(engine.__file__).parent.parent


def entry(*products, certified=True):
    return {"products": list(products), "broke": 0, "certified": certified}


def row(case, degree, budget=1000, **methods):
    methods = {"oracle": entry(100, 100), "ours": entry(100, 100), **methods}
    return {
        "kind": "row",
        "set": "gaps",
        "case": case,
        "group": "g",
        "degree": degree,
        "n": 100,
        "budget": budget,
        "edge": 0.01,
        "engine": "e",
        "methods": {k: {**v, "edge": 0.02} for k, v in methods.items()},
    }


def test_cases_are_short_regular_or_hard():
    assert engine_summary.kind(row("a", 4, oracle=entry(40, 40.1))) == "regular"
    assert engine_summary.kind(row("a", 4, oracle=entry(30, 49))) == "short"
    assert engine_summary.kind(row("a", 4, oracle=entry(400, None))) == "hard"
    assert engine_summary.outer(row("a", 4, ours=entry(50, 60)), "ours") == 11


def test_summary_has_the_known_figures():
    rows = [
        row("a", 4, cheb4=entry(200, 200)),
        row("b", 4, cheb4=entry(50, 50), ours=entry(60, 60)),
        row("c", 8, cheb4=entry(90, None, certified=False)),
        row("d", 8),
        row("e", 8, cheb4=entry(100, 100)),
    ]
    s = engine_summary.summary(rows, "cheb4")
    # The budget of 1000 stands for what was not reached: (90 + 1000) / 2 over 100.
    assert s["mean"] == pytest.approx((2 * 0.5 * 5.45 * 1) ** (1 / 4))
    assert s["strict"] == pytest.approx((2 * 0.5 * 10 * 1) ** (1 / 4))
    assert s["quartiles"] == pytest.approx([0.875, 1.5, 2.8625])
    assert (s["n"], s["worst"], s["case"]) == (4, 5.45, "c (8)")
    assert s["wins"] == 3 / 4
    assert (s["uncertified"], s["broke"]) == (1, 1)
    assert engine_summary.summary(rows, "cg") is None


def test_report_shows_what_is_in_the_file(tmp_path):
    file = tmp_path / "e.jsonl"
    solved = {"cheb30": entry(None, 9), "chebritz": entry(9, 9), "cg": entry(None, None)}
    lines = [
        row("a", 4, ours=entry(110, 110), cheb4=entry(200, 200)),
        row("b", 8, ours=entry(121, 121), cheb4=entry(None, None)),
        row("quick", 8, oracle=entry(9, 9), ours=entry(18, 18)),
        row("endless", 8, oracle=entry(None, None), **solved),
        {**row("x", 4), "set": "matrices", "left_out": "diagonal"},
        {**row("s", 16), "set": "seeds", "products": [300, 300, 360], "failed": 0},
    ]
    for line in lines[-2:]:
        del line["methods"]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = engine_report.render(file)
    cells = [[c.strip() for c in x.strip("|").split("|")] for x in text.splitlines()]
    assert "## gaps: 4 cases and degrees, 2 regular, 1 short, 1 hard" in text
    # sqrt(1.1 · 1.21), and sqrt(2 · 10) with the budget for what failed.
    assert any(c[:2] == ["ours", "1.154"] for c in cells)
    fourth = engine_methods.LABELS["cheb4"]
    assert any(c[:2] == [fourth, "4.472"] and c[-1] == "1" for c in cells)
    # Against the rival where it works, and over all cases.
    assert [fourth, "1", "0.550"] in [c[:3] for c in cells]
    worst = next(k for k, c in enumerate(cells) if c[0] == "worst of ours")
    assert [c[0] for c in cells[worst + 2 : worst + 4]] == ["b", "a"]
    assert any(c[:2] == ["ours", "+1.00"] for c in cells)  # quick: one iteration more
    assert ["endless", "8", "100", "1000", "2", "1", "2", "0"] in cells
    assert "left out, diagonal: x" in text
    assert any(c[:5] == ["s", "16", "300", "0.088", "1.200"] for c in cells)
    assert engine.main(["report", str(file)]) == 0


def command(out, *words):
    return ["run", "--sets", "large", "--large", "poisson2d:12", "--out", str(out), *words]


def test_a_run_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    out = tmp_path / "e.jsonl"
    asked = []
    original = engine_measure.rows

    def counted(case, degrees, *rest):
        asked.append((case.name, list(degrees)))
        return original(case, degrees, *rest)

    monkeypatch.setattr(engine_measure, "rows", counted)
    assert engine.main(command(out, "--degrees", "4", "--jobs", "0")) == 0
    assert engine.main(command(out, "--degrees", "4,8", "--jobs", "0")) == 0
    assert engine.main(command(out, "--degrees", "4,8", "--jobs", "0")) == 0
    assert asked == [("poisson2d:12", [4]), ("poisson2d:12", [8])]
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert [r["degree"] for r in found if r["kind"] == "row"] == [4, 8]
    assert set(found[1]["methods"]) == set(engine_methods.LABELS)
    weights = Path(ap.__file__).parent.parent / "weights" / "solve.safetensors"
    other = tmp_path / "other.safetensors"
    other.write_bytes(weights.read_bytes())
    assert engine.main(command(out, "--jobs", "0", "--engine", str(other))) == 2
    assert "engine must stay" in capsys.readouterr().err


def test_one_failure_does_not_end_the_run(tmp_path, monkeypatch, capsys):
    def fails(case, degrees, n_seeds):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(engine_measure, "rows", fails)
    assert engine.main(command(tmp_path / "e.jsonl", "--jobs", "0")) == 1
    assert "no such luck" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sets", "nonsense"], "sets must be among"),
        (["--sets", "matrices"], "needs --matrices"),
        (["--sets", "left-out"], "needs --left-out"),
        (["--sets", "gaps", "--degrees", "4,5"], "must be even and at least 2; got 5"),
        (["--sets", "gaps", "--jobs", "-1"], "must be 0 or more"),
    ],
)
def test_bad_words_get_one_sentence(words, message, tmp_path, capsys):
    assert engine.main(["run", *words, "--out", str(tmp_path / "e.jsonl")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "e.jsonl").exists()


def test_seeds_are_measured_in_processes_of_their_own(tmp_path):
    sp.save_npz(tmp_path / "A.npz", poisson2d(12))
    out = tmp_path / "e.jsonl"
    words = ["--sets", "seeds", "--matrices", str(tmp_path), "--seeds", "3"]
    subprocess.run(
        [sys.executable, "-m", "bench.engine", "run", *words, "--out", str(out)],
        cwd=ROOT,
        check=True,
        timeout=100,
    )
    found = json.loads(out.read_text().splitlines()[-1])
    assert (found["case"], found["degree"], found["failed"]) == ("A", 16, 0)
    assert len(set(found["products"])) == 3


def test_a_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    made, products, eigenvalues = engine_picture.polynomials("poisson2d:12", 8)
    assert set(made) == {"ours", "oracle", *engine_methods.RIVALS}
    assert all(products[name] > 0 for name in made)
    np.testing.assert_allclose(eigenvalues[[0, -1]].sum(), 2.0)
    file = tmp_path / "p.png"
    assert (
        engine.main(["picture", "poisson2d:12", "--degree", "8", "--out", str(file)]) == 0
    )
    assert file.read_bytes()[:4] == b"\x89PNG"
    assert engine.main(["picture", "poisson2d:100", "--out", str(file)]) == 2
