"""Synthetic spectra are positive, end at one, and are the same for a seed."""

import numpy as np
import pytest

from autospec_precond import spectra


@pytest.mark.parametrize("n", [1, 5, 30, 400])
@pytest.mark.parametrize("name", spectra.FAMILIES)
def test_every_family_is_a_spectrum(name, n):
    for seed in range(20):
        values = spectra.draw_family(name, np.random.default_rng(seed), n)
        assert values.shape == (n,)
        assert values.dtype == np.float64
        assert (np.diff(values) >= 0).all()
        assert values[-1] == 1
        assert values[0] >= spectra.FLOOR


@pytest.mark.parametrize("name", spectra.FAMILIES)
def test_same_seed_same_spectrum(name):
    first, again, other = (
        spectra.draw_family(name, np.random.default_rng(seed), 100) for seed in (7, 7, 8)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_global_generator_has_no_part():
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    spectra.draw(np.random.default_rng(0), 100)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_draw_meets_every_family(monkeypatch):
    met = set()

    def note(name, rng, n):
        met.add(name)
        return np.ones(n)

    monkeypatch.setattr(spectra, "draw_family", note)
    rng = np.random.default_rng(0)
    for _ in range(200):
        spectra.draw(rng, 3)
    assert met == set(spectra.FAMILIES)


@pytest.mark.parametrize("name", spectra.FAMILIES)
def test_condition_numbers_are_of_all_sizes(name):
    rng = np.random.default_rng(0)
    kappa = np.array([1 / spectra.draw_family(name, rng, 200)[0] for _ in range(200)])
    assert kappa.max() <= 1 / spectra.FLOOR * (1 + 1e-12)
    # Outliers half a decade and more below a bulk leave few small conditions.
    assert np.quantile(kappa, 0.1) < (1e4 if name == "tiny_outliers" else 1e3)
    assert np.quantile(kappa, 0.9) > 1e3


def test_families_differ():
    medians = []
    for family in spectra.FAMILIES.values():
        drawn = [family(np.random.default_rng(seed), 200, 1e4) for seed in range(20)]
        medians.append(round(np.log10(np.median(drawn)), 2))
    assert len(set(medians)) == len(medians)
