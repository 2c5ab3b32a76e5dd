"""Each promise of the guide has tests that prove it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROW = r"^\| `([a-z-]+)` \| (.+) \|$"
MARK = r"mark\.promise\(\"([a-z-]+)\"\)"


def promises() -> dict[str, str]:
    """What the guide promises, by name."""
    _, _, section = (ROOT / "docs" / "guide.md").read_text().partition("\n## Promises\n")
    return dict(re.findall(ROW, section.partition("\n## ")[0], flags=re.MULTILINE))


def marked() -> dict[str, set[str]]:
    """The files of tests that name each promise."""
    files: dict[str, set[str]] = {}
    for path in set(Path(__file__).parent.rglob("test_*.py")) - {Path(__file__)}:
        for name in re.findall(MARK, path.read_text()):
            files.setdefault(name, set()).add(path.name)
    return files


def test_each_promise_is_one_sentence_or_two_and_has_tests() -> None:
    assert len(promises()) > 10
    assert set(marked()) == set(promises())
    assert all(told.endswith(".") for told in promises().values())


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_tests_of_a_promise_can_be_run_alone() -> None:
    files = ["tests/system/test_gone.py", "tests/test_docs.py"]
    done = run("--collect-only", "--promise", "not-absent", *files)
    tests = re.findall(r"^tests/(.+?)::", done.stdout, flags=re.MULTILINE)
    assert set(tests) == {"system/test_gone.py"}


@pytest.mark.slow
def test_a_promise_that_nobody_made_is_an_error(tmp_path: Path) -> None:
    done = run("--promise", "nothing-such", "tests/system/test_gone.py")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--promise nothing-such: the promises are never-lost, " in done.stderr
    typo = tmp_path / "test_typo.py"
    typo.write_text('import pytest\n@pytest.mark.promise("never-lots")\ndef test_it(): pass\n')
    done = run("-p", "conftest", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT, typo)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "never-lots is no promise of docs/guide.md" in done.stdout
