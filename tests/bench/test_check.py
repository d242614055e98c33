"""The gate lets through what does no harm, and names each case that does."""

import json

import pytest

check = pytest.importorskip("bench.check", reason="bench/ is not part of the wheel")


def row(method, seconds=1.0, status="converged", **more):
    return {
        "kind": "row",
        "problem": "p",
        "class": "spd",
        "solver": "cg",
        "method": method,
        "repeat": 0,
        "status": status,
        "reason": "",
        "setup_seconds": 0.0,
        "solve_seconds": seconds if status == "converged" else None,
        **more,
    }


def repeats(method, seconds):
    return [row(method, s, repeat=k) for k, s in enumerate(seconds)]


def run(tmp_path, rows):
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return check.main([str(path)])


GENERAL = {"class": "general"}


@pytest.mark.parametrize(
    "rows",
    [
        [row("ours"), row("none")],
        [row("ours", 1.09), row("none")],
        [row("ours", 2.0), row("none"), row("jacobi", status="failed"), row("none", 3.0)],
        [row("ours", 0.0059), row("none", 0.001)],  # 5.9 times, 4.9 ms more
        [row("ours", status="timeout"), row("none", status="timeout")],
        [row("ours"), row("none", status="failed"), row("jacobi", status="failed")],
        [row("ours", 9.0), row("splu", 0.1), row("none", 9.0)],
        [*repeats("ours", [1.0, 9.0, 1.0]), *repeats("none", [1.0, 1.0, 1.0])],
    ],
    ids=[
        "equal",
        "within 1.1",
        "the last row of a repeat counts",
        "within 5 ms",
        "both fail",
        "only ours solves",
        "other rivals do not count",
        "medians count",
    ],
)
def test_passes(tmp_path, capsys, rows):
    assert run(tmp_path, rows) == 0
    assert capsys.readouterr().out.startswith("ours never hurts: 1 cases")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [row("ours", status="timeout", reason="over 60 s"), row("none", 2.0)],
            "p · cg: ours timeout in 1 of 1 repeats (over 60 s); none converged in 2 s",
        ),
        (
            [
                row("ours", status="not converged"),
                row("jacobi"),
                row("none", status="failed"),
            ],
            "p · cg: ours not converged in 1 of 1 repeats; jacobi converged in 1 s",
        ),
        (
            [row("ours", status="not supported"), row("none")],
            "ours not supported in 1 of 1",
        ),
        (
            [
                *repeats("ours", [1.0, 1.0]),
                row("ours", status="failed", repeat=2),
                row("none"),
            ],
            "ours failed in 1 of 3 repeats",
        ),
        (
            [row("ours", 1.2), row("none", 2.0), row("jacobi")],
            "p · cg: ours 1.2 s, jacobi 1 s: 1.20 times, 200 ms more",
        ),
        ([row("ours", 0.5, setup_seconds=1.0), row("none")], "1.50 times, 500 ms more"),
        ([row("ours", 0.0071), row("none", 0.002)], "3.55 times, 5 ms more"),
        ([row("ours", None), row("none")], "its rows have no seconds"),
    ],
    ids=[
        "fails where none does not",
        "fails where Jacobi does not",
        "refuses a definite matrix",
        "one repeat fails",
        "slower than the better one",
        "setup counts",
        "over 5 ms",
        "no seconds",
    ],
)
def test_names_what_hurts(tmp_path, capsys, rows, message):
    assert run(tmp_path, rows) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert message in first
    assert last == "ours hurts in 1 of 1 cases"


def test_refusing_a_matrix_that_is_not_definite_is_no_harm(tmp_path, capsys):
    other = {**GENERAL, "problem": "q", "solver": "gmres"}
    rows = [row("ours", status="not supported", **other), row("none", **other)]
    assert run(tmp_path, [row("ours"), row("none"), *rows]) == 0
    assert "1 cases" in (out := capsys.readouterr().out)
    assert "1 left out" in out


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "must hold rows; got none"),
        ([{"kind": "header"}], "must hold rows; got none"),
        ([row("none")], "got no such pair"),
        ([row("ours"), row("splu")], "got no such pair"),
        ([{"kind": "row", "problem": "x", "status": "unreadable"}], "got no such pair"),
    ],
)
def test_nothing_to_judge(tmp_path, capsys, rows, message):
    assert run(tmp_path, rows) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_no_file(tmp_path, capsys):
    assert check.main([str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl" in capsys.readouterr().err
