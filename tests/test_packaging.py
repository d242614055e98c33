"""The package says the same about itself everywhere, and brings along what it needs."""

import configparser
import importlib.metadata
import importlib.resources
import re
import subprocess
from pathlib import Path

import pytest

import autospec_precond

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def project_files():
    """Return the files that are, or would be, under version control."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is not a git checkout")
    return [ROOT / name for name in run.stdout.split("\0") if (ROOT / name).is_file()]


@pytest.mark.installed
def test_versions_agree(setup_cfg):
    assert autospec_precond.__version__ == setup_cfg["metadata"]["version"]
    assert autospec_precond.__version__ == importlib.metadata.version("autospec-precond")


def test_citation_has_the_version(setup_cfg):
    version = setup_cfg["metadata"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.installed
def test_weights_are_found():
    folder = importlib.resources.files("autospec_precond.weights_data")
    assert [entry.name for entry in folder.iterdir() if entry.name.endswith(".safetensors")]


@pytest.mark.installed
def test_package_is_marked_as_typed():
    assert importlib.resources.files("autospec_precond").joinpath("py.typed").is_file()


@pytest.mark.installed
def test_command_is_installed():
    scripts = importlib.metadata.entry_points(group="console_scripts")
    (command,) = scripts.select(name="autospec-precond")
    assert callable(command.load())


@pytest.mark.installed
def test_torch_comes_with_the_extra_train_only():
    required = importlib.metadata.requires("autospec-precond")
    (torch,) = [line for line in required if "torch" in line]
    assert re.search(r"""extra == ['"]train['"]""", torch)


def test_every_folder_with_code_is_a_listed_package(setup_cfg):
    code = ROOT / "autospec_precond"
    folders = {path.parent.relative_to(ROOT) for path in code.rglob("*.py")}
    on_disk = {".".join(folder.parts) for folder in folders}
    listed = set(setup_cfg["options"]["packages"].split())
    assert listed == on_disk | {"autospec_precond.weights_data"}
    assert all((ROOT / folder / "__init__.py").is_file() for folder in folders)
    # Without it the wheel works and the editable install does not.
    assert (ROOT / "weights" / "__init__.py").is_file()


@pytest.mark.parametrize("name", ["numpy", "scipy"])
def test_oldest_versions_tested_are_the_oldest_admitted(setup_cfg, name):
    admitted = re.search(rf"{name}>=(.+)", setup_cfg["options"]["install_requires"])
    pins = (ROOT / "constraints-oldest.txt").read_text()
    tested = re.search(rf"^{name}==(.+)$", pins, re.MULTILINE)
    assert tested[1] == f"{admitted[1]}.0"


def test_files_do_not_name_the_machine_they_were_written_on():
    # In pieces, or this file would find itself.
    foreign = re.compile(rb"(?<![\w.])/" rb"work/|\.\./" rb"shared\b")
    found = [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in project_files()
        for match in foreign.finditer(path.read_bytes())
    ]
    assert found == []
