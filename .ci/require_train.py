"""A pytest plugin: the run fails unless the tests marked `train` ran, all of them.

Without torch these tests skip themselves, and a run that trained nothing looks green.
"""

import importlib.util

import pytest

passed, skipped = [], []


def pytest_configure(config):
    """Stop before the first test where torch is missing."""
    if importlib.util.find_spec("torch") is None:
        pytest.exit("torch is not installed: the training tests would be skipped", 1)


def pytest_runtest_logreport(report):
    """Note what became of a training test."""
    if "train" in report.keywords:
        if report.skipped:
            skipped.append(report.nodeid)
        elif report.when == "call" and report.passed:
            passed.append(report.nodeid)


def pytest_sessionfinish(session):
    """Turn a green run red where training tests were skipped, or none was found."""
    if session.exitstatus == 0 and (skipped or not passed):
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    """Say why."""
    if skipped or not passed:
        terminalreporter.section("training tests", red=True)
        names = ", ".join(skipped) or "none"
        terminalreporter.line(f"{len(passed)} passed; skipped: {names}")
