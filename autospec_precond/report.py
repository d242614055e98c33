"""The report: what was probed, chosen and proved, and what it cost."""

import html
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from .certificate import Certificate
from .probe import Probe

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """Everything that `make` found and decided.

    Attributes
    ----------
    n, nnz : int
        Rows and stored entries of A; nnz is None where A is not explicit.
    dtype : str
        Type of A.
    solver : str
        Solver that M is made for.
    base : str
        'none', 'jacobi' or 'user'.
    kernel, storage, precision : str
        What one application runs on.
    n_threads, n_powers : int
        Threads of one application; products that follow each other through the rows
        while these are in the cache.
    degree : int
        Products with A per application.
    probe : Probe or None
        None where the polynomial was given.
    certificate : Certificate or None
        What is proved of a p that must be positive.
    engine : str
        Name and hash of the weights, 'classical', 'given', or 'none' for degree 0.
    candidates : dict of int to float
        Predicted seconds of a solve to 1e-8 per degree; empty where it was given.
    break_even : int or None
        Right-hand sides from which on a polynomial, the one chosen or the best of those
        turned down, is predicted to pay for its setup; None where none does, and where
        nothing was predicted.
    n_products : int
        Products with A spent in `make`, self-check included.
    seconds : float
        Wall time of `make`.
    notes : tuple of str
        Sentences: what was converted, repaired or is unproved.
    n_scalings : int, optional
        Passes that equilibrated A.
    seen : str, optional
        What is known of the class of A, and what cannot be seen.
    device : str, optional
        Where M computes: 'cpu', 'cuda:0', 'cuda:1', ...
    """

    n: int
    nnz: int | None
    dtype: str
    solver: str
    base: str
    kernel: str
    storage: str
    precision: str
    n_threads: int
    n_powers: int
    degree: int
    probe: Probe | None
    certificate: Certificate | None
    engine: str
    candidates: dict[int, float]
    break_even: int | None
    n_products: int
    seconds: float
    notes: tuple[str, ...]
    n_scalings: int = 1
    seen: str = ""
    device: str = "cpu"

    def rows(self) -> list[tuple[str, str]]:
        """Return the report as pairs of a label and a text.

        Returns
        -------
        list of tuple of str
            In the order of printing.
        """
        nnz = "matrix-free" if self.nnz is None else f"{self.nnz:,} entries"
        rows = [
            ("matrix", f"{self.n:,} x {self.n:,}, {nnz}, {self.dtype}, base {self.base}"),
            *([("class", self.seen)] if self.seen else []),
            ("probe", self._probe_text()),
            ("spectrum bound", self._bound_text()),
            ("polynomial", self._polynomial_text()),
            ("engine", self.engine),
            ("certificate", self._certificate_text()),
            (
                "kernel",
                f"{self.kernel}, storage {self.storage}, precision {self.precision}, "
                + (
                    f"threads {self.n_threads}, products per sweep {self.n_powers}"
                    if self.device == "cpu"
                    else f"device {self.device}"
                ),
            ),
            ("setup", f"{self.n_products} products with A, {self.seconds:.3g} s"),
        ]
        if self.candidates:
            text = ", ".join(f"{d}: {t:.2g} s" for d, t in self.candidates.items())
            rows.append(("predicted by degree", text))
            rows.append(("break-even", self._break_even_text()))
        rows.extend(("note", note) for note in self.notes)
        return rows

    def _break_even_text(self):
        if self.break_even is None:
            return "no polynomial is predicted to pay for its setup"
        which = f"degree {self.degree}" if self.degree else "a polynomial"
        count = self.break_even
        return f"{which} pays from {count} right-hand side{'s' * (count > 1)} on"

    def _certificate_text(self):
        c = self.certificate
        if c is None:
            return "none: M need not be positive definite for this solver"
        return (
            f"p positive: {'proved' if c.safe else 'NOT proved'}; min p / max p "
            f"{c.margin:.1e}, rounding {c.rounding:.1e}{self._sampled()}"
        )

    def _polynomial_text(self):
        c = self.certificate
        if self.degree == 0:
            return "degree 0: M is the base alone"
        if c is None:
            return f"degree {self.degree}"
        gaps = f" without gaps (up to {c.gap_max:.3g} in them)" if c.gap_max else ""
        return (
            f"degree {self.degree} on [{c.low:.3g}, {c.high:.3g}]{gaps}, λp(λ) in "
            f"[{c.q_min:.3g}, {c.q_max:.3g}] there, up to {c.growth[1]:.3g} if the bound "
            "were 2 % too low"
        )

    def _sampled(self):
        """Say what the proof rests on where that could only be sampled."""
        what = [] if self.nnz is not None else ["A Hermitian"]
        what += ["base positive definite"] if self.base == "user" else []
        return f"; sampled, not proved: {', '.join(what)}" if what else ""

    def _probe_text(self):
        if self.probe is None:
            return "none: the polynomial was given"
        if getattr(self.probe, "kind", "pos") == "gen":
            return str(self.probe)
        theta = self.probe.ritz_values
        if getattr(self.probe, "kind", "pos") == "her":
            below = int((theta < 0).sum())
            return (
                f"{self.probe.n_steps} steps, Ritz values {theta[0]:.3g} to "
                f"{theta[-1]:.3g}, {below} of them negative"
            )
        return (
            f"{self.probe.n_steps} steps, Ritz values {theta[0]:.3g} to {theta[-1]:.3g}, "
            f"no sign of indefiniteness in {self.probe.n_steps} steps"
        )

    def _bound_text(self):
        c = self.certificate
        if c is None:
            return "none"
        kind = "rigorous up to rounding" if c.high_is_rigorous else "estimated"
        check = (
            "" if c.self_check is None else f", self-check {c.self_check:.2f} of 1 allowed"
        )
        return f"{c.high:.4g}, {kind}{check}"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain numbers and texts.

        Returns
        -------
        dict
            JSON-able.
        """
        data = {k: v for k, v in vars(self).items() if k not in ("probe", "certificate")}
        data["probe"] = self.probe.to_dict() if self.probe else None
        proof = self.certificate
        data["certificate"] = proof and {**asdict(proof), "safe": proof.safe}
        return _finite(data)

    def to_json(self) -> str:
        """Return the report as a JSON text.

        Returns
        -------
        str
            Of `to_dict`.
        """
        return json.dumps(self.to_dict())

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(label) for label, _ in rows)
        return "\n".join(f"{label:<{width}}  {text}" for label, text in rows)

    def _repr_html_(self):
        cells = "".join(
            f"<tr><th>{html.escape(label)}</th><td>{html.escape(text)}</td></tr>"
            for label, text in self.rows()
        )
        return f"<table>{cells}</table>"


def _finite(value):
    """Replace what JSON has no word for, infinity and NaN, by None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
