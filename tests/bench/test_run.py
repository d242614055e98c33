"""The runner: interruption, limits, bad input, and counts against a script of their own."""

import json
import time
from typing import ClassVar

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from problems import poisson2d
from scipy.sparse.linalg import LinearOperator, cg, gmres

import autospec_precond as ap

pytest.importorskip("bench.journal")

from bench import journal, runner

METHODS = "none,jacobi,ours,splu"


def keys(path):
    return {(r["problem"], r["method"], r["repeat"]) for r in journal.read(path)[1]}


def test_killed_and_started_again_gives_the_same_rows(bench, folder, tmp_path):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    (folder / "scaled.npz").unlink()
    words = ("run", folder, "--methods", METHODS, "--repeats", "2", "--out")
    bench(*words, whole)
    process = bench(*words, cut, wait=False)
    deadline = time.monotonic() + 60
    while not cut.exists() or cut.read_bytes().count(b"\n") < 5:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    before = cut.read_bytes()
    before = before[: before.rfind(b"\n") + 1]
    with cut.open("ab") as file:
        file.write(b'{"kind": "row", "problem": "li')
    bench(*words, cut)
    assert cut.read_bytes().startswith(before)
    assert keys(cut) == keys(whole)
    assert len(journal.read(cut)[1]) == len(keys(whole))
    # A third start has nothing to do.
    after = cut.read_bytes()
    assert "2 problems were complete" in bench(*words, cut)
    assert cut.read_bytes() == after


def test_rows_say_what_the_readme_promises(bench, folder, tmp_path):
    out = tmp_path / "r.jsonl"
    bench("run", folder, "--out", out, "--repeats", "1", "--history")
    headers, rows = journal.read(out)
    assert headers[0]["threads"] == 1
    assert headers[0]["versions"]["scipy"]
    assert {r["class"] for r in rows} == {"spd", "general"}
    by = {(r["problem"], r["method"]): r for r in rows}
    assert by["wind", "ours"]["status"] == "converged"
    for (problem, method), row in by.items():
        if row["status"] != "converged":
            continue
        assert row["residual"] <= 1e-7, (problem, method)
        reached = [t["products"] for t in row["tolerances"].values()]
        assert reached == sorted(reached)
        assert reached[-1] <= row["products"]
        assert row["history"][-1][3] <= 1e-7
    assert set(by["line", "ours"]["tolerances"]) == {"1e-2", "1e-4", "1e-6", "1e-8"}
    assert by["wind", "gmrespoly"]["area"] > 0


class Counter(LinearOperator):
    def __init__(self, A):
        super().__init__(A.dtype, A.shape)
        self.A, self.n = A, 0

    def _matvec(self, x):
        self.n += 1
        return self.A @ x


def test_counts_equal_those_of_an_independent_script(bench, folder, tmp_path):
    out = tmp_path / "r.jsonl"
    sp.save_npz(folder / "grid.npz", poisson2d(120))
    bench("run", folder, "--out", out, "--methods", "none,jacobi,ours", "--repeats", "1")
    rows = {(r["problem"], r["method"]): r for r in journal.read(out)[1]}
    assert rows["grid", "ours"]["degree"] > 0
    for name in ("line", "scaled", "wind", "grid"):
        A = sp.load_npz(folder / f"{name}.npz")
        b = np.random.default_rng(7).standard_normal(A.shape[0])
        ways = {"none": (None, 0, 0), "jacobi": (sp.diags_array(1 / A.diagonal()), 0, 0)}
        solver, keywords = cg, {"maxiter": 100_000}
        if name == "wind":
            solver = gmres
            keywords = {"callback_type": "pr_norm", "restart": 30, "maxiter": 1000}
        else:
            M = ap.make(A)
            ways["ours"] = (M, M.degree, M.report.n_products)
        for method, (M, degree, setup) in ways.items():
            counted, calls = Counter(A), []
            P = None if M is None else Counter(M)
            solver(counted, b, M=P, rtol=1e-8, callback=calls.append, **keywords)
            row, applications = rows[name, method], 0 if P is None else P.n
            assert row["iterations"] == len(calls)
            assert row["products"] == counted.n + applications * degree + setup
            assert row["applications"] == applications


PLUGIN = """
import os, signal, time
import numpy as np
from bench.methods import Prepared, method

@method("hangs")
def hangs(context):
    time.sleep(1000)

@method("dies")
def dies(context):
    os.kill(os.getpid(), signal.SIGSEGV)

@method("eats")
def eats(context):
    kept = []
    while True:
        kept.append(np.ones(1_000_000))

@method("raises")
def raises(context):
    raise RuntimeError("no luck")

@method("lies")
def lies(context):
    from scipy.sparse.linalg import LinearOperator
    A = context.A
    return Prepared(LinearOperator(A.shape, lambda x: np.nan * x, dtype=A.dtype))

@method("missing", package="no_such_package_anywhere")
def missing(context):
    raise AssertionError
"""


def test_bad_methods_cost_their_own_row_only(bench, folder, tmp_path):
    plugin, out = tmp_path / "fakes.py", tmp_path / "r.jsonl"
    plugin.write_text(PLUGIN)
    names = "none,hangs,dies,eats,raises,lies,missing,jacobi"
    bench(
        *("run", folder / "line.npz", "--out", out, "--plugin", plugin),
        *("--methods", names, "--repeats", "2"),
        *("--time-limit", "1", "--memory-limit", "0.5"),
    )
    rows = journal.read(out)[1]
    first = {r["method"]: r for r in rows if r["repeat"] == 0}
    assert {m: r["status"] for m, r in first.items()} == {
        "none": "converged",
        "hangs": "timeout",
        "dies": "failed",
        "eats": "out of memory",
        "raises": "failed",
        "lies": "failed",
        "missing": "not installed",
        "jacobi": "converged",
    }
    assert "SIGSEGV" in first["dies"]["reason"]
    assert "no luck" in first["raises"]["reason"]
    assert "not finite" in first["lies"]["reason"]
    # Only what converged is repeated.
    assert {r["method"] for r in rows if r["repeat"] == 1} == {"none", "jacobi"}


def test_unreadable_matrices_get_a_row_and_the_run_goes_on(bench, folder, tmp_path):
    scipy.io.mmwrite(folder / "wide.mtx", sp.csr_array(np.ones((2, 3))))
    sp.save_npz(folder / "holes.npz", sp.csr_array(np.diag([1.0, np.nan])))
    (folder / "text.mtx").write_text("no matrix at all\n")
    out = tmp_path / "r.jsonl"
    words = ("run", folder, "--out", out, "--methods", "none", "--repeats", "1")
    bench(*words)
    reasons = {
        r["problem"]: r["reason"]
        for r in journal.read(out)[1]
        if r["status"] == "unreadable"
    }
    assert set(reasons) == {"wide", "holes", "text"}
    assert "must be square; got shape (2, 3)" in reasons["wide"]
    assert "got 1 entries that are NaN" in reasons["holes"]
    assert len(keys(out)) == 6
    bench(*words)
    assert len(journal.read(out)[1]) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["poisson2d:8", "--methods", "magic"], "methods must be among none, jacobi, ours"),
        (["poisson9d:8"], "the problem must be one of anisotropic"),
        (["poisson2d"], "poisson2d:100"),
        (["poisson2d:8,depth=3"], "parameters of poisson2d are n"),
        (["nothing"], "SOURCE must be a folder, a file"),
        (["HB/bcsstk01"], "Give --cache FOLDER"),
        (["poisson2d:8", "poisson2d:8"], "different names; got poisson2d:8 twice"),
        (["poisson2d:8", "--rtol", "0"], "--rtol must be positive"),
    ],
)
def test_says_what_is_wrong_with_the_command(tmp_path, capsys, words, message):
    from bench.__main__ import main

    assert main(["run", *words, "--out", str(tmp_path / "r.jsonl")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_other_settings_need_another_file(tmp_path, capsys):
    from bench.__main__ import main

    out = tmp_path / "r.jsonl"
    settings = {"solver": "auto", "rtol": 1e-8}
    out.write_text(json.dumps({"kind": "header", "settings": settings}) + "\n")
    assert main(["run", "poisson2d:8", "--out", str(out), "--rtol", "1e-6"]) == 2
    assert "rtol must stay 1e-08" in capsys.readouterr().err


def test_a_file_that_is_no_results_file_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("dear diary\n")
    with pytest.raises(ValueError, match=r"line 1 of .* is no JSON object"):
        journal.Journal(path)
    assert path.read_text() == "dear diary\n"


def test_two_runs_do_not_write_one_file(tmp_path):
    first = journal.Journal(tmp_path / "r.jsonl")
    with pytest.raises(ValueError, match="being written by another run"):
        journal.Journal(tmp_path / "r.jsonl")
    first.close()
    journal.Journal(tmp_path / "r.jsonl").close()


def test_numbers_that_json_lacks_become_null(tmp_path):
    book = journal.Journal(tmp_path / "r.jsonl")
    book.append({"kind": "row", "residual": float("inf"), "history": [[1, float("nan")]]})
    book.close()
    line = (tmp_path / "r.jsonl").read_text()
    assert json.loads(line) == {"kind": "row", "residual": None, "history": [[1, None]]}


def test_what_is_still_to_do():
    row = {"status": "converged"}
    lost = {"status": "timeout"}
    rows = {("a", 0): row, ("b", 0): lost}
    assert runner.expected(rows, ["a", "b", "c"], 2) == [("c", 0), ("a", 1), ("c", 1)]
    assert runner.budget(10) == 5000
    assert runner.budget(1000) == 20_000
    assert runner.budget(10**6) == 40_000
    assert runner.budget(10, 7) == 7


class Slow:
    """A worker that never classifies with factors; it notes what it is asked."""

    asked: ClassVar[list] = []
    ready: ClassVar[dict] = {}

    def __init__(self, settings):
        self.settings = settings

    def ask(self, seconds, **request):
        self.asked.append(request)
        if request["do"] == "load":
            if "kind" not in request and request.get("factorise", True):
                raise runner.Lost("timeout", "no answer")
            return {"event": "loaded", "n": 9, "kind": "spd", "solver": "cg"} | {
                "nnz": 9,
                "evidence": request.get("evidence", "probe"),
            }
        raise runner.Lost("timeout", "no answer")

    def end(self):
        pass


def test_a_class_that_takes_too_long_is_probed_and_never_found_out_twice(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "Worker", Slow)
    monkeypatch.setattr(runner.environment, "header", lambda *_: {"kind": "header"})
    monkeypatch.setattr(Slow, "asked", [])
    (tmp_path / "r.jsonl").touch()
    settings = {"rtol": 1e-8, "repeats": 1, "time_limit": 1.0, "history": False}
    settings |= {"budget": None, "work_limit": 10.0}

    class Method:
        classes = ("spd",)

    class Ignore:
        def __getattr__(self, name):
            return lambda *args, **keywords: None

    class Journal:
        rows: ClassVar[dict] = {}

        def done(self):
            return self.rows

        def append(self, row):
            if row["kind"] == "row":
                self.rows[row["problem"], row["method"], row["repeat"]] = row

    methods = {"none": Method, "jacobi": Method}
    made = runner.Runner(Journal(), settings, methods, False, Ignore())
    source = type("Source", (), {"problem": "p", "source": "s", "to_dict": lambda self: {}})
    made.run([source()])
    loads = [r for r in Slow.asked if r["do"] == "load"]
    assert [("factorise" in r, "kind" in r) for r in loads] == [
        (False, False),
        (True, False),
        (False, True),
    ]
    assert {r["class_evidence"] for r in Journal.rows.values()} == {"probe"}
    assert {r["status"] for r in Journal.rows.values()} == {"timeout"}
