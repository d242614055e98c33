"""Compare the engine for general matrices with the GMRES polynomial of the same degree.

``python -m bench.engine_gmres FOLDER [--bases rows,both,none] [--out gmres.jsonl]``:
products of gmres(30) to a true residual of 1e-8, those of the probe included, on the
same base and for the same right-hand sides. FOLDER holds NAME.npz and catalogue.csv.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from autospec_precond import checkpoint, gmres_engine
from autospec_precond.retrain.gmres_counting import n_products
from autospec_precond.retrain.gmres_data import arnoldi
from autospec_precond.roots import with_added_roots

DEGREES = (8, 16, 24, 32)
MOST = 20_000  # products; a solve that needs more has failed


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m bench.engine_gmres")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bases", default="rows,both")
    parser.add_argument("--degrees", default=",".join(map(str, DEGREES)))
    parser.add_argument("--seeds", type=int, default=2, help="probes, right-hand sides")
    parser.add_argument("--engine", help="weights; the shipped ones by default")
    parser.add_argument("--names", nargs="*", help="some of the matrices")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    engine = checkpoint.load_gmres(options.engine)
    records = []
    for name in options.names or names(options.folder):
        A = sp.csr_array(sp.load_npz(options.folder / f"{name}.npz")).astype(float)
        for base in options.bases.split(","):
            S = based(A, base)
            for degree in map(int, options.degrees.split(",")):
                for seed in range(options.seeds):
                    case = {"matrix": name, "base": base, "seed": seed, "degree": degree}
                    records.append(case | compare(engine, S, degree, seed))
                    print(json.dumps(records[-1]), file=sys.stderr, flush=True)
    if options.out:
        options.out.write_text("".join(json.dumps(r) + "\n" for r in records))
    print(summary(records))


def names(folder):
    """Return the real nonsymmetric matrices that are not marked singular."""
    with (folder / "catalogue.csv").open() as file:
        return [
            row["name"]
            for row in csv.DictReader(file)
            if row["class"] == "nonsymmetric"
            and row["field"] == "real"
            and "singular" not in row["notes"]
        ]


def based(A, base):
    """Scale the rows to 2-norm 1, or both sides to largest entries of 1."""
    left, right = np.ones(A.shape[0]), np.ones(A.shape[0])
    if base == "rows":
        left = 1 / np.sqrt(np.asarray(A.multiply(A).sum(axis=1)).ravel())
    elif base == "both":
        for _ in range(10):
            S = abs(sp.diags_array(left) @ A @ sp.diags_array(right))
            left /= np.sqrt(S.max(axis=1).toarray().ravel())
            S = abs(sp.diags_array(left) @ A @ sp.diags_array(right))
            right /= np.sqrt(S.max(axis=0).toarray().ravel())
    S = sp.csr_array(sp.diags_array(left) @ A @ sp.diags_array(right))
    S.sort_indices()
    return S


def compare(engine, S, degree, seed):
    """Count the products of both, probes included; None for failure."""
    start, b = np.random.default_rng([seed, degree]).standard_normal((2, S.shape[0]))
    H = arnoldi(S, degree + 1, start)
    m = min(gmres_engine.stages(degree)[0], H.shape[1])
    while (wanted := engine.steps(H[: m + 1, :m], degree)) > m:
        m = min(wanted, H.shape[1])
        if m == H.shape[1]:
            break
    ours = engine.propose(H[: m + 1, :m], degree).roots
    plain = with_added_roots(gmres_engine.harmonic_ritz(H), True)
    steps = H.shape[1]
    return {
        "n_probe": m,
        "ours": total(S, ours, b, m),
        "plain": total(S, plain, b, steps),
    }


def total(S, roots, b, n_probe):
    count, solved = n_products(S, roots, b, MOST)
    return n_probe + count if solved and n_probe + count <= MOST else None


def summary(records):
    """Return a table of the geometric means of products over the GMRES polynomial's."""
    cases = [r for r in records if r["ours"] or r["plain"]]
    lines = [f"{'cases':32} {'n':>4} {'products':>9} {'no more':>8} {'fewer':>6} worst"]
    groups = {"all": cases}
    for key in ("degree", "base", "matrix"):
        for value in dict.fromkeys(r[key] for r in cases):
            groups[f"{key} {value}"] = [r for r in cases if r[key] == value]
    for label, group in groups.items():
        ratios = np.array([(r["ours"] or MOST) / (r["plain"] or MOST) for r in group])
        lines.append(
            f"{label:32} {len(group):4} {np.exp(np.log(ratios).mean()):9.3f} "
            f"{np.mean(ratios <= 1):8.0%} {np.mean(ratios < 1):6.0%} {ratios.max():.2f}"
        )
    lost = sum(r["ours"] is None for r in cases)
    won = sum(r["plain"] is None for r in cases)
    lines.append(f"lost to the GMRES polynomial {lost}, won {won}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
