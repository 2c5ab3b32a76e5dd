"""mypy and pyright accept what a user may write, find its types, and refuse the mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


pytestmark = pytest.mark.slow  # make types runs them, too


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with the files in it, so that the *installed* library is checked."""
    package = tmp_path / "user_code"
    package.mkdir()
    for name in ("__init__.py", "accepted.py", "refused.py"):
        (package / name).write_text((HERE / name).read_text())
    return tmp_path


def content(project: Path, *command: str) -> None:
    """Run a checker in the project; fail with what it says unless it is content."""
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=project
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_is_content(project: Path) -> None:
    content(project, "mypy", "--strict", "--config-file=", "user_code")


def test_pyright_is_content(project: Path) -> None:
    settings = {
        "include": ["user_code"],
        "typeCheckingMode": "strict",
        "reportUnnecessaryTypeIgnoreComment": "error",
        "reportUnusedExpression": "none",
    }
    (project / "pyrightconfig.json").write_text(json.dumps(settings))
    content(project, "pyright", "--pythonpath", sys.executable)
