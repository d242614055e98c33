"""The operators that the engine is judged on."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from problems import poisson2d

pytest.importorskip("bench.methods")

from autospec_precond import spectra
from bench import engine_measure, engine_sets, sources


def options(**changes):
    given = {"draws": 2, "engine": None, "left_out": None, "rows": None, "seed_rows": 3000}
    return argparse.Namespace(
        **{**given, "matrices": None, "large": ["poisson2d:12"], **changes}
    )


def test_draws_are_held_out_and_the_same_every_time():
    chosen = engine_sets.cases("families", options()) + engine_sets.cases("gaps", options())
    wanted = 2 * (len(spectra.FAMILIES) + 6)
    assert len({(c.set, c.name) for c in chosen}) == len(chosen) == wanted
    for case in chosen:
        operator, probe = engine_sets.draw(case)
        again, _ = engine_sets.draw(case)
        other, _ = engine_sets.draw(engine_sets.Case(case.set, "", case.group, 7))
        np.testing.assert_array_equal(operator.eigenvalues, again.eigenvalues)
        assert not np.array_equal(operator.eigenvalues, other.eigenvalues)
        assert operator.eigenvalues.min() > 0
        assert operator.largest() <= 1.0001 * probe.high


@pytest.mark.parametrize(
    ("name", "count", "factor"),
    [("five_outliers", 5, 8.0), ("three_far_outliers", 3, 25.0)],
)
def test_outliers_stand_above_a_gap(name, count, factor, rng):
    values = np.sort(engine_sets.GAPS[name](rng, 1000))
    assert values[-count] > factor * values[-count - 1]


def test_tiny_outliers_stand_below_a_gap(rng):
    for _ in range(20):
        values = np.sort(engine_sets.GAPS["tiny_outliers"](rng, 1000))
        assert (values[1:11] > 9.99 * values[:10]).any()
        assert values[11] > 0.999e-3


def test_the_left_out_engine_goes_with_its_family(tmp_path):
    with pytest.raises(ValueError, match="must be a folder with left-out-FAMILY"):
        engine_sets.cases("left-out", options(left_out=tmp_path))
    (tmp_path / "left-out-beta.safetensors").write_bytes(b"")
    found = engine_sets.cases("left-out", options(left_out=tmp_path))
    assert {(c.group, Path(c.engine).name) for c in found} == {
        ("beta", "left-out-beta.safetensors")
    }
    seen = engine_sets.Case("families", "beta-0", "beta", 0)
    a, b = engine_sets.draw(found[0])[0], engine_sets.draw(seen)[0]
    np.testing.assert_array_equal(a.eigenvalues, b.eigenvalues)


@pytest.mark.parametrize(
    ("A", "reason"),
    [
        (poisson2d(9), "fewer than 100 rows"),
        (poisson2d(40), "more than 1500 rows"),
        (sp.eye_array(200).tocsr(), "diagonal"),
        (poisson2d(12, shift=-1.0), "not positive definite"),
    ],
)
def test_matrices_that_do_not_belong_are_left_out(A, reason, tmp_path):
    sp.save_npz(tmp_path / "A.npz", sp.csr_array(A))
    source = sources.resolve([str(tmp_path)])[0]
    case = engine_sets.Case("matrices", "A", source=source, most_rows=1500)
    with pytest.raises(engine_sets.LeftOut, match=reason):
        engine_sets.load(case)
    assert engine_measure.rows(case, [4])[0]["left_out"] == reason
