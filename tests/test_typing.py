"""The public surface carries type annotations, as py.typed promises."""

import inspect

import pytest

import autospec_precond as ap

METHODS = {
    ap.Polynomial: ["__call__", "residual", "from_roots", "to_json", "from_json"],
    ap.PolynomialPreconditioner: ["apply_into", "state"],
    ap.Report: ["rows", "to_json"],
}
FUNCTIONS = [ap.make, ap.warmup, ap.show_versions]
FUNCTIONS += [getattr(owner, name) for owner, names in METHODS.items() for name in names]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__qualname__)
def test_public_functions_are_annotated(function):
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    for name, parameter in signature.parameters.items():
        assert name == "self" or parameter.annotation is not inspect.Parameter.empty
