"""The command line: what it prints, writes and returns."""

import gzip
import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from problems import Product, complex_hermitian, poisson1d, poisson2d
from scipy.sparse.linalg import LinearOperator

import autospec_precond as ap
from autospec_precond import cli, compare

A = poisson2d(12)


def strict(text):
    """Parse one JSON document, without the NaN that Python's writer would allow."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def write(path, matrix):
    """Write a matrix in the format that the name asks for."""
    name = str(path)
    if name.endswith(".npz"):
        sp.save_npz(path, matrix)
    elif name.endswith(".npy"):
        np.save(path, matrix)
    elif name.endswith(".gz"):
        with gzip.open(path, "wb") as file:
            scipy.io.mmwrite(file, matrix)
    else:
        scipy.io.mmwrite(path, matrix)
    return name


@pytest.fixture
def matrix(tmp_path):
    return write(tmp_path / "A.mtx", A)


@pytest.mark.parametrize("name", ["A.mtx", "A.npz", "A.mtx.gz"])
def test_inspect_prints_the_report(name, tmp_path, capsys):
    assert cli.main(["inspect", write(tmp_path / name, A), "--degree", "8"]) == 0
    out, err = capsys.readouterr()
    report = ap.make(A, degree=8).report
    assert "144 x 144" in out
    assert [line[:15] for line in out.splitlines()] == [
        line[:15] for line in str(report).splitlines()
    ]
    assert err == ""


def test_inspect_as_json(matrix, capsys):
    assert cli.main(["inspect", matrix, "--degree", "8", "--json"]) == 0
    found = strict(capsys.readouterr().out)
    expected = ap.make(A, degree=8).report.to_dict()
    assert found.keys() == expected.keys()
    assert found["degree"] == 8
    assert found["certificate"]["safe"] is True
    assert found["probe"]["ritz_values"] == pytest.approx(expected["probe"]["ritz_values"])


@pytest.mark.parametrize("name", ["A.mtx", "A.npz", "A.mtx.gz"])
@pytest.mark.parametrize("rhs", [None, "b.mtx", "b.npy", "column.npy", "sparse.mtx"])
def test_solve_writes_the_solution(name, rhs, tmp_path, capsys):
    b = np.random.default_rng(0).standard_normal(144)
    arguments = ["solve", write(tmp_path / name, A), "-o", str(tmp_path / "x.npy")]
    if rhs:
        b = np.arange(144.0)
        content = {"b.npy": b, "sparse.mtx": sp.coo_array(b[:, None])}.get(rhs, b[:, None])
        arguments.insert(2, write(tmp_path / rhs, content))
    assert cli.main(arguments) == 0
    x = np.load(tmp_path / "x.npy")
    assert x.shape == (144,)
    assert np.linalg.norm(b - A @ x) <= 1e-7 * np.linalg.norm(b)
    out = capsys.readouterr().out
    assert "iterations" in out
    assert "products" in out
    assert "autospec" in out
    assert "Jacobi" not in out


def test_solve_as_json_is_one_document(matrix, capsys):
    assert cli.main(["solve", matrix, "--json", "--degree", "4", "--rtol", "1e-5"]) == 0
    result = strict(capsys.readouterr().out)
    (row,) = result["rows"]
    assert row["method"] == "autospec"
    assert row["converged"] is True
    assert row["residual"] <= 1e-4
    assert row["products"] == result["report"]["n_products"] + 5 * row["iterations"]
    assert result["report"]["degree"] == 4


@pytest.mark.parametrize("form", ["table", "json"])
def test_compare_has_three_rows(matrix, form, capsys):
    arguments = ["solve", matrix, "--compare", "--degree", "8"]
    assert cli.main(arguments + ["--json"] * (form == "json")) == 0
    out = capsys.readouterr().out
    if form == "json":
        rows = strict(out)["rows"]
        methods = [row["method"] for row in rows]
        assert all(row["converged"] for row in rows)
    else:
        lines = out.splitlines()
        start = next(k for k, line in enumerate(lines) if line.startswith("method"))
        methods = [line.split()[0] for line in lines[start + 1 :]]
    assert methods == ["none", "Jacobi", "autospec"]


@pytest.mark.parametrize("compared", [[], ["--compare"]])
def test_not_converged_is_one(tmp_path, compared, capsys):
    matrix = write(tmp_path / "A.mtx", poisson1d(3000))
    out = tmp_path / "x.npy"
    arguments = ["solve", matrix, "--maxiter", "2", "-o", str(out), *compared]
    assert cli.main(arguments) == 1
    assert "not converged" in capsys.readouterr().out
    assert np.load(out).shape == (3000,)


@pytest.mark.parametrize(
    "other",
    [
        sp.csr_array(poisson1d(60).astype(np.int64)),
        complex_hermitian(60),
        poisson1d(60).toarray(),
    ],
    ids=["integers", "complex", "dense"],
)
@pytest.mark.parametrize("compared", [[], ["--compare"]])
def test_other_matrices(other, compared, tmp_path):
    matrix = write(tmp_path / "A.mtx", other)
    assert cli.main(["solve", matrix, "-o", str(tmp_path / "x.npy"), *compared]) == 0
    x = np.load(tmp_path / "x.npy")
    b = other @ x
    # The right-hand side is random, not rounded to integers.
    assert np.count_nonzero(np.abs(b - np.round(b)) > 1e-3) > 50


def test_zero_right_hand_side(matrix, tmp_path, capsys):
    b = write(tmp_path / "b.npy", np.zeros(144))
    assert cli.main(["solve", matrix, b, "--json"]) == 0
    assert strict(capsys.readouterr().out)["rows"][0]["residual"] == 0


def bad(text, capsys, *arguments):
    """Run with bad input: code 2, one line, nothing on the standard output."""
    assert cli.main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("autospec-precond: ")
    assert err.count("\n") == 1
    assert text in err


@pytest.mark.parametrize("command", ["inspect", "solve"])
def test_bad_files(command, tmp_path, capsys):
    bad(f"{command}: the file must exist; got 'none.mtx'.", capsys, command, "none.mtx")
    for name in ("text.mtx", "text.npz"):
        path = tmp_path / name
        path.write_text("hello")
        expected = f"{command}: the matrix must be a Matrix Market or SciPy .npz file; got"
        bad(expected, capsys, command, str(path))


MATRICES = {
    "A must be square; got shape (3, 4)": np.ones((3, 4)),
    "A must be Hermitian; got entries (0, 2) and (2, 0)": np.eye(3) + np.eye(3, k=2),
    "A must be finite; got 1 non-finite": np.diag([1.0, np.nan, 1.0]),
    "the diagonal of A must be positive; got 0 in row 1": np.diag([1.0, 0.0, 2.0]),
    "A must be positive definite": np.array([[1.0, 2.0], [2.0, 1.0]]),
}


@pytest.mark.parametrize("text", MATRICES)
@pytest.mark.parametrize("command", [["inspect"], ["solve"], ["solve", "--compare"]])
def test_bad_matrices(command, text, tmp_path, capsys):
    path = tmp_path / "A.npz"
    sp.save_npz(path, sp.csr_array(MATRICES[text]))
    bad(f"make: {text}", capsys, *command, "--solver", "cg", str(path))


@pytest.mark.parametrize(
    ("b", "text"),
    [
        (np.ones(143), "b must have 144 entries; got shape (143,)"),
        (np.full(144, np.inf), "b must hold finite numbers; got float64"),
        (np.full(144, "x"), "b must hold finite numbers; got <U1"),
    ],
)
def test_bad_right_hand_sides(b, text, matrix, tmp_path, capsys):
    bad(f"solve: {text}", capsys, "solve", matrix, write(tmp_path / "b.npy", b))


@pytest.mark.parametrize(
    ("option", "text"),
    [
        (["--rtol", "0"], "solve: --rtol must lie between 0 and 1; got 0.0."),
        (["--rtol", "nan"], "solve: --rtol must lie between 0 and 1; got nan."),
        (["--maxiter", "0"], "solve: --maxiter must be positive; got 0."),
        (["--degree", "7"], "make: degree must be even"),
        (["missing.npy"], "solve: the file must exist; got 'missing.npy'."),
        (["-o", "no/such/folder/x.npy"], "no/such/folder/x.npy"),
    ],
)
def test_bad_options(option, text, matrix, capsys):
    bad(text, capsys, "solve", matrix, *option)


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["solve"], ["solve", "a", "-x"]])
def test_unknown_words(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: autospec-precond" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"{ap.__version__}\n"


@pytest.mark.parametrize(("maxiter", "code"), [("500", 0), ("1", 1), ("-1", 2)])
def test_exit_codes_of_the_process(maxiter, code, matrix):
    command = [sys.executable, "-m", "autospec_precond", "solve", matrix]
    run = subprocess.run(
        [*command, "--maxiter", maxiter], check=False, capture_output=True, text=True
    )
    assert run.returncode == code
    assert ("autospec" in run.stdout) == (code < 2)
    assert "Traceback" not in run.stderr


def test_rows_count_what_was_spent(rng):
    counted = Product(A)
    M = ap.make(counted, degree=4)
    b = rng.standard_normal(144)
    setup = M.report.n_products, 0.0
    operator = LinearOperator(A.shape, matvec=lambda x: counted @ x, dtype=float)
    _, row = compare.run(operator, b, M, method="autospec", rtol=1e-8, setup=setup)
    assert row.converged
    # One more for the residual at the end.
    assert counted.n_products - 1 - row.products in (0, M.degree)


@pytest.mark.parametrize(
    ("solver", "options"),
    [("gmres", []), ("bicgstab", ["--solver", "bicgstab"]), ("gmres", ["--compare"])],
)
def test_solves_a_general_system_with_a_solver_that_suits_it(
    solver, options, tmp_path, capsys
):
    n = 400
    A = sp.diags_array([-1.3, 2.2, -0.7], offsets=[-1, 0, 1], shape=(n, n))
    sp.save_npz(tmp_path / "A.npz", A.tocsr())
    np.save(tmp_path / "b.npy", np.ones(n))
    files = [str(tmp_path / name) for name in ("A.npz", "b.npy")]
    out = str(tmp_path / "x.npy")
    assert cli.main(["solve", *files, "-o", out, "--json", *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["report"]["solver"] == solver
    row = result["rows"][-1]
    assert row["products"] >= (row["iterations"] + 1) * (result["report"]["degree"] + 1)
    residual = np.linalg.norm(np.ones(n) - A @ np.load(out))
    assert residual <= 1e-7 * np.sqrt(n)
