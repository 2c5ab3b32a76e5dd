"""The suite of stores sees what is wrong with stores that are wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from . import broken

ROOT = Path(__file__).parent.parent.parent


def expected() -> set[tuple[str, str]]:
    """The suites of broken stores, each with the tests that have to fail."""
    suites = {name: value for name, value in vars(broken).items() if hasattr(value, "red")}
    return {(name, test) for name, suite in suites.items() for test in suite.red}


@pytest.mark.slow
def test_every_broken_store_fails_the_tests_of_the_promise_it_breaks(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "python_classes=Broken?*",
        f"--junitxml={report}",
    ]
    ids = [f"{broken.__file__}::{suite}::{test}" for suite, test in sorted(expected())]
    command = [sys.executable, "-m", "pytest", *options, *ids]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    red = {
        (str(case.get("classname")).rpartition(".")[2], str(case.get("name")).partition("[")[0])
        for case in ET.parse(report).iter("testcase")
        if case.find("failure") is not None
    }
    assert expected()
    assert red == expected(), done.stdout


def test_the_suite_needs_pytest_and_hypothesis_only_when_it_is_asked_for() -> None:
    code = """
import sys
import checkpoint.testing
print(sorted({"pytest", "hypothesis"} & set(sys.modules)))
checkpoint.testing.StoreSuite
print(sorted({"pytest", "hypothesis"} & set(sys.modules)))
"""
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said.splitlines() == ["[]", "['hypothesis', 'pytest']"]
