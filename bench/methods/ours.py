"""The package itself, with its default settings and with the classical engine."""

import warnings

import autospec_precond as ap

from .registry import NotSupported, Prepared, method

__all__ = ["classical", "ours"]


@method("ours")
def ours(context):
    """``autospec_precond.make(A)``: no setting at all."""
    return _make(context)


@method("ours-classical")
def classical(context):
    """The same with ``engine="classical"``: nothing learned."""
    return _make(context, engine="classical")


def _make(context, **keywords):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ap.UncertifiedWarning)
            M = ap.make(context.A, solver=context.solver, **keywords)
    except ValueError as error:
        # A refusal to take a positive definite matrix is a failure, not a limitation.
        if context.kind == "spd":
            raise
        raise NotSupported(str(error)) from None
    return Prepared(M, M.degree, M.report.n_products, work=float(M.degree))
