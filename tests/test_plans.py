"""Plans: every row once per level, from rows that are there, and nobody else's rows."""

import numpy as np
import pytest

from autospec_precond.kernels import plans

KIB = 1024


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Caches of a made-up processor: 64 KiB and 128 KiB for two."""
    write_caches(tmp_path, ("1", "32K", "0"), ("2", "64K", "0"), ("3", "128K", "0-1"))
    monkeypatch.setattr(plans, "_CACHES", tmp_path)
    clear()
    yield
    clear()


def clear():
    plans.cache_size.cache_clear()
    plans.plan.cache_clear()


def write_caches(folder, *caches):
    for k, (level, size, sharers) in enumerate(caches):
        (folder / f"index{k}").mkdir(exist_ok=True)
        (folder / f"index{k}" / "level").write_text(level + "\n")
        (folder / f"index{k}" / "size").write_text(size + "\n")
        (folder / f"index{k}" / "shared_cpu_list").write_text(sharers + "\n")


def levels_of(tile, first, last, reach):
    """Yield level, first and last row of a tile."""
    lo, hi, left, right = tile
    for k in range(first, last):
        moved = (k - first) * reach
        yield k, lo + left * moved, hi - right * moved


@pytest.mark.parametrize("n", [31, 50, 999, 10_000])
@pytest.mark.parametrize("n_levels", [1, 2, 3, 4, 9, 16])
@pytest.mark.parametrize("reach", [0, 1, 7, 40, 600])
@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
@pytest.mark.parametrize("grain", [1, 16])
def test_a_plan_computes_every_row_from_rows_that_are_there(
    n, n_levels, reach, n_threads, grain
):
    reach *= grain
    plan = plans.plan(n, n_levels, reach, 100, n_threads, grain)
    assert plan.n_rows % grain == 0 < plan.n_rows
    # The level that each row of the two vectors holds; x, of level -1, stands on its own.
    held = np.full((2, n), -2)
    for first, last, phases in plan.rounds:
        for tiles in phases:
            assert 1 <= len(tiles) <= n_threads
            touched = []
            for tile in tiles:
                reads, writes = np.zeros((2, n), bool), np.zeros((2, n), bool)
                for k, lo, hi in levels_of(tile, first, last, reach):
                    assert 0 <= lo <= hi <= n
                    assert lo % grain == 0 or lo == hi
                    assert hi % grain == 0 or hi == n
                    around = slice(max(0, lo - reach), min(n, hi + reach))
                    if k > 0 and hi > lo:
                        assert (held[(k - 1) % 2, around] == k - 1).all()
                        reads[(k - 1) % 2, around] = True
                    if k > 1:
                        assert (held[k % 2, lo:hi] == k - 2).all()
                    held[k % 2, lo:hi] = k
                    writes[k % 2, lo:hi] = True
                touched.append((reads, writes))
            for j, (reads, writes) in enumerate(touched):
                for i, (_, others) in enumerate(touched):
                    assert i == j or not ((reads | writes) & others).any()
    assert (held[(n_levels - 1) % 2] == n_levels - 1).all()


def test_threads_meet_rarely_and_share_alike():
    plan = plans.plan(1_000_000, 16, 1000, 24, 2)
    assert [len(phases) for _, _, phases in plan.rounds] == [2]
    plan = plans.plan(1_000_000, 16, 10_000, 24, 2)
    assert sum(len(phases) for _, _, phases in plan.rounds) <= 4
    for first, last, phases in plan.rounds:
        for tiles in phases:
            work = [
                sum(hi - lo for _, lo, hi in levels_of(tile, first, last, 10_000))
                for tile in tiles
            ]
            assert max(work) <= 1.01 * min(work)
    # Where tiles cannot grow and shrink, threads meet after every product.
    plan = plans.plan(1_000_000, 16, 200_000, 24, 2)
    assert len(plan.rounds) == 16
    halves = (0, 500_000, 0, 0), (500_000, 1_000_000, 0, 0)
    assert all(phases == (halves,) for *_, phases in plan.rounds)


def test_powers_fill_the_cache_and_no_more():
    powers = plans.powers_per_sweep
    assert plans.cache_size(2) == 64 * KIB
    # All rows within four times the second level: nothing to gain.
    assert powers(10_000, 16, 10, 24) == 1
    assert powers(100_000, 16, 10, 24) == 16
    assert powers(100_000, 3, 10, 24) == 3
    # 48 KiB hold 2048 rows of 24 bytes; a block takes 682 of them.
    assert powers(100_000, 16, 400, 24) == 3
    assert powers(100_000, 16, 700, 24) == 1
    assert powers(100_000, 16, 5_000, 24) == 1
    assert powers(100_000, 16, 0, 24) == 16
    assert powers(100_000, 16, 400, 240) == 1


def test_a_large_third_level_holds_more(tmp_path):
    write_caches(tmp_path, ("1", "32K", "0"), ("2", "64K", "0"), ("3", "8M", "0-3"))
    clear()
    assert plans.cache_size(3) == 2 * KIB * KIB
    assert plans.powers_per_sweep(1_000_000, 16, 5_000, 24) == 4


@pytest.mark.parametrize(
    ("size", "sharers", "expected"),
    [
        ("48K", "0", 48 * KIB),
        ("2M", "0-1", KIB * KIB),
        ("1G", "0-3,8-11", 128 * KIB * KIB),
        ("1024", "5", 1024),
        ("", "0", 1024 * KIB),
        ("0K", "0", 1024 * KIB),
        ("many", "0", 1024 * KIB),
        ("1M", "", 1024 * KIB),
    ],
)
def test_caches_as_the_system_describes_them(tmp_path, size, sharers, expected):
    write_caches(tmp_path, ("1", "1K", "0"), ("2", size, sharers))
    clear()
    assert plans.cache_size(2) == expected


def test_a_system_that_does_not_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "_CACHES", tmp_path / "nowhere")
    clear()
    assert (plans.cache_size(2), plans.cache_size(3)) == (KIB * KIB, 0)
    assert plans.powers_per_sweep(1_000_000, 16, 1000, 24) == 16
