"""What the project says of itself: links, addresses, and the Pythons that it is tested on."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def pythons() -> list[str]:
    """The Pythons that ``make pythons`` looks for."""
    found: list[str] = runpy.run_path(str(ROOT / "tools" / "check_dist.py"))["PYTHONS"]
    return found


def targets(page: str) -> list[str]:
    """Where the links of a page lead."""
    return [
        *re.findall(r"\]\(([^)\s]+)\)", page),
        *re.findall(r"^\[[^\]]+\]: +(\S+)", page, flags=re.MULTILINE),
    ]


def test_links_of_the_readme_work_on_a_package_index() -> None:
    relative = [
        target
        for target in targets((ROOT / "README.md").read_text())
        if not target.startswith(("https://", "#"))
    ]
    assert relative == []


def test_links_of_the_readme_to_the_project_have_a_file_here() -> None:
    source = project()["urls"]["Source"]
    here = [
        target.removeprefix(f"{source}/blob/main/").partition("#")[0]
        for target in targets((ROOT / "README.md").read_text())
        if target.startswith(source)
    ]
    assert {"docs/guide.md", "CONTRIBUTING.md"} <= set(here)
    for target in here:
        assert (ROOT / target).is_file(), target


def test_reference_links_of_the_readme_are_defined() -> None:
    readme = (ROOT / "README.md").read_text()
    prose = re.sub(r"^```.*?^```|`[^`\n]+`", "", readme, flags=re.MULTILINE | re.DOTALL)
    defined = {name.lower() for name in re.findall(r"^\[([^\]]+)\]: ", prose, flags=re.MULTILINE)}
    used = {name.lower() for name in re.findall(r"\]\[([^\]]+)\]", prose)}
    assert used <= defined


def test_the_addresses_of_the_project_have_a_file_here() -> None:
    urls = project()["urls"]
    assert {"Documentation", "Source", "Changelog", "Issues"} <= set(urls)
    for url in urls.values():
        assert url.startswith(urls["Source"])
        path = url.removeprefix(urls["Source"])
        if path.startswith("/blob/main/"):
            assert (ROOT / path.removeprefix("/blob/main/")).is_file(), url


def test_every_python_that_is_claimed_is_tested() -> None:
    claimed = [
        classifier.rpartition(" ")[2]
        for classifier in project()["classifiers"]
        if re.search(r":: 3\.\d+$", classifier)
    ]
    assert claimed == pythons()[: len(claimed)]
    assert project()["requires-python"] == f">={pythons()[0]}"


@pytest.mark.skipif(not WORKFLOW.exists(), reason="the sdist has no workflow")
def test_the_workflow_tests_the_same_pythons() -> None:
    (matrix,) = re.findall(r"^ +python: \[(.*)\]$", WORKFLOW.read_text(), flags=re.MULTILINE)
    assert [version.strip('"') for version in matrix.split(", ")] == pythons()
