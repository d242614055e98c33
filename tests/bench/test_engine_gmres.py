"""The comparison with the GMRES polynomial, on a folder of one matrix."""

import json

import numpy as np
import pytest
import scipy.sparse as sp

from autospec_precond import checkpoint, gmres_engine
from autospec_precond.gmres_engine import GmresConfig
from bench import engine_gmres


@pytest.fixture
def folder(tmp_path):
    n = 150
    A = sp.diags_array([-1.2, 2.5, -0.8], offsets=[-1, 0, 1], shape=(n, n))
    sp.save_npz(tmp_path / "mine.npz", sp.csr_array(A))
    (tmp_path / "catalogue.csv").write_text(
        "name,class,field,notes\n"
        "mine,nonsymmetric,real,\n"
        "other,nonsymmetric,real,numerically singular\n"
        "third,SPD,real,\n"
    )
    params = gmres_engine.init(GmresConfig(), np.random.default_rng(0))
    checkpoint.save(tmp_path / "plain.safetensors", GmresConfig(), params, {})
    return tmp_path


def test_output_zero_takes_as_many_products(folder, capsys):
    out = folder / "out.jsonl"
    weights = str(folder / "plain.safetensors")
    engine_gmres.main(
        [
            str(folder),
            "--degrees",
            "4,8",
            "--seeds",
            "1",
            "--engine",
            weights,
            "--out",
            str(out),
        ]
    )
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(r["matrix"], r["base"], r["degree"]) for r in records] == [
        ("mine", base, degree) for base in ("rows", "both") for degree in (4, 8)
    ]
    assert all(r["ours"] == r["plain"] > r["n_probe"] == r["degree"] + 1 for r in records)
    assert "lost to the GMRES polynomial 0, won 0" in capsys.readouterr().out


@pytest.mark.parametrize(("base", "axis"), [("rows", None), ("both", 0), ("both", 1)])
def test_bases(base, axis):
    A = sp.csr_array(np.array([[1.0, 20, 3], [0, 5e3, 1], [1e-3, 0, 2]]))
    S = abs(engine_gmres.based(A, base)).toarray()
    sizes = np.linalg.norm(S, axis=1) if axis is None else S.max(axis=axis)
    np.testing.assert_allclose(sizes, 1, atol=0.05)
