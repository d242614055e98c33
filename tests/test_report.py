"""The report names what a user asks for, as a table, as JSON and in a notebook."""

import dataclasses
import json

import numpy as np
import pytest
from problems import Product, complex_hermitian, poisson1d, poisson2d

import autospec_precond as ap
from autospec_precond.classical import chebyshev

A = poisson2d(20)

MADE = {
    "default": lambda: ap.make(A),
    "degree": lambda: ap.make(A, degree=8),
    "base_alone": lambda: ap.make(A, degree=0),
    "classical": lambda: ap.make(A, degree=4, engine="classical"),
    "operator": lambda: ap.make(Product(A), degree=4),
    "complex": lambda: ap.make(complex_hermitian(100), degree=4),
    "integers": lambda: ap.make(poisson1d(100, np.int32), precision="single"),
    "dense": lambda: ap.make(A.toarray(), degree=4),
    "polynomial": lambda: ap.make(A, polynomial=chebyshev(8, 2.0)),
    "state": lambda: ap.make(A, polynomial=ap.make(A, degree=8).state()),
    "one_row": lambda: ap.make(np.eye(1)),
}
each = pytest.mark.parametrize("make", MADE.values(), ids=MADE)


def strict(text):
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


@each
def test_json_is_valid_and_complete(make):
    report = make().report
    data = strict(report.to_json())
    assert data == json.loads(json.dumps(report.to_dict()))
    fields = {field.name for field in dataclasses.fields(report)}
    assert data.keys() == fields
    certificate = {field.name for field in dataclasses.fields(report.certificate)}
    assert data["certificate"].keys() == certificate | {"safe"}
    assert data["certificate"]["safe"] is True


def test_json_is_valid_when_the_check_overflows():
    polynomial = chebyshev(40, 1.0)
    with pytest.warns(ap.UncertifiedWarning, match="reaches above"):
        M = ap.make(1e12 * A, base="none", polynomial=polynomial)
    strict(M.report.to_json())
    strict(json.dumps(M.state()))


@each
def test_table_has_one_line_per_row(make):
    report = make().report
    lines = str(report).splitlines()
    assert len(lines) == len(report.rows())
    starts = {len(line) - len(line[25:].lstrip()) for line in lines if len(line) > 25}
    assert starts  # something is printed beside the labels
    for line, (label, text) in zip(lines, report.rows(), strict=True):
        assert line.startswith(label)
        assert line.endswith(text)
    assert "nan" not in str(report)


def test_table_answers_what_a_user_asks():
    M = ap.make(A, degree=8)
    report = M.report
    rows = dict(report.rows())
    assert rows["matrix"] == "400 x 400, 1,920 entries, float64, base jacobi"
    theta = M.probe.ritz_values
    assert f"12 steps, Ritz values {theta[0]:.3g} to {theta[-1]:.3g}" in rows["probe"]
    assert "no sign of indefiniteness in 12 steps" in rows["probe"]
    assert "SPD" not in str(report)
    low, high = M.polynomial.interval
    assert rows["polynomial"].startswith(f"degree 8 on [{low:.3g}, {high:.3g}]")
    assert rows["engine"] == report.engine
    assert "p positive: proved" in rows["certificate"]
    assert "fused" in rows["kernel"]
    assert "storage dia" in rows["kernel"]
    assert "threads 1, products per sweep 1" in rows["kernel"]
    assert "mixed" in rows["kernel"]
    assert rows["setup"].startswith(f"{report.n_products} products with A, ")
    assert "predicted by degree" not in rows


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("base_alone", ["degree 0", "none"]),
        ("classical", ["classical"]),
        ("operator", ["matrix-free", "base none", "reference", "storage operator"]),
        ("complex", ["complex128"]),
        ("integers", ["converted from int32 to float64", "precision single"]),
        ("dense", ["storage dense", "160,000 entries"]),
        ("polynomial", ["none: the polynomial was given", "the spectrum was not probed"]),
        ("state", ["none: the polynomial was given"]),
        ("one_row", ["1 x 1"]),
    ],
)
def test_table_says_what_is_particular(name, words):
    text = str(MADE[name]().report)
    for word in words:
        assert word in text


def test_bound_is_called_rigorous_only_where_it_is():
    rigorous = ap.make(poisson1d(100), degree=4, base="none").report
    assert rigorous.certificate.high_is_rigorous
    assert "rigorous" in dict(rigorous.rows())["spectrum bound"]
    estimated = ap.make(Product(A), degree=4).report
    row = dict(estimated.rows())["spectrum bound"]
    assert "rigorous" not in row
    assert "estimated, self-check" in row
    assert f"{estimated.certificate.self_check:.2f} of 1 allowed" in row


def test_predictions_are_shown_where_a_degree_was_chosen():
    report = ap.make(poisson1d(3000)).report
    assert report.degree in report.candidates
    assert report.candidates[report.degree] == min(report.candidates.values())
    row = dict(report.rows())["predicted by degree"]
    assert all(f"{degree}: " in row for degree in report.candidates)


def test_a_certificate_that_proves_nothing_is_not_praised():
    report = ap.make(A, degree=4).report
    certificate = dataclasses.replace(report.certificate, positive=False)
    text = str(dataclasses.replace(report, certificate=certificate))
    assert "p positive: NOT proved" in text


def test_html_is_a_table_and_escapes():
    M = ap.make(A, degree=4)
    report = dataclasses.replace(M.report, engine="<b>&", notes=("1 < 2",))
    page = report._repr_html_()
    assert page.startswith("<table>")
    assert page.count("<tr>") == page.count("</tr>") == len(report.rows())
    assert "&lt;b&gt;&amp;" in page
    assert "1 &lt; 2" in page
    assert "<b>" not in page
    assert M._repr_html_() == M.report._repr_html_()


def test_a_report_cannot_be_changed():
    report = ap.make(A, degree=4).report
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.degree = 8
