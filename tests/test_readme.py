"""What the README shows runs, and what it names exists."""

import re
from pathlib import Path

import numpy as np
import pytest
from problems import poisson2d

from autospec_precond import demo
from autospec_precond.compare import compare, table

README = Path(__file__).parent.parent / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="runs in a checkout only")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_python_blocks_run():
    A = poisson2d(20)
    names = {"A": A, "b": np.ones(A.shape[0])}
    code = blocks("python")
    assert code
    for block in code:
        exec(compile(block, "README.md", "exec"), names)
    assert names["info"] == 0


def test_links_lead_to_files():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text())
    assert links
    for link in links:
        assert (README.parent / link).exists(), link


def test_make_targets_exist():
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README.read_text(), flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_shows_what_the_demo_prints():
    A = demo._shipped()
    b = np.random.default_rng(1).standard_normal(A.shape[0])
    _, _, rows = compare(A, b)
    text = README.read_text()
    assert table(rows).splitlines()[0] in text
    for row in rows:
        shown = re.search(rf"^{row.method} +(\d+) +(\d+) ", text, flags=re.MULTILINE)
        # Another processor may round one iteration away.
        assert abs(int(shown[1]) - row.iterations) <= 1 + row.iterations // 50
        assert abs(int(shown[2]) - row.products) <= 20
