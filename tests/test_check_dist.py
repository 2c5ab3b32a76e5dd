"""The check of what is shipped: the Pythons that it finds, and what it refuses of a wheel."""

from __future__ import annotations

import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("checkpoint", "checkpoint_objectstore", "checkpoint_sql")


@pytest.fixture
def tool() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "tools" / "check_dist.py")))


def wheel(folder: Path, *names: str) -> Path:
    path = folder / "agent_checkpoint-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return path


def test_a_wheel_with_typed_packages_passes(tool: SimpleNamespace, tmp_path: Path) -> None:
    tool.check_wheel(wheel(tmp_path, *(f"{package}/py.typed" for package in PACKAGES)))


def test_a_wheel_with_an_untyped_package_is_refused(tool: SimpleNamespace, tmp_path: Path) -> None:
    names = ["checkpoint/py.typed", "checkpoint_objectstore/py.typed", "checkpoint_sql/a.py"]
    with pytest.raises(SystemExit, match=r"no py\.typed in checkpoint_sql"):
        tool.check_wheel(wheel(tmp_path, *names))


def test_a_wheel_with_another_package_is_refused(tool: SimpleNamespace, tmp_path: Path) -> None:
    names = [*(f"{package}/py.typed" for package in PACKAGES), "tests/__init__.py"]
    with pytest.raises(SystemExit, match="'tests'"):
        tool.check_wheel(wheel(tmp_path, *names))


def test_the_python_that_runs_the_tool_is_found(tool: SimpleNamespace) -> None:
    assert tool.found_pythons()[tool.running()] == Path(sys.executable)


def test_a_python_is_found_where_pyenv_keeps_it_behind_a_command_that_does_not_work(
    tool: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the PATH, pyenv has a command for every version, also for those that are not set."""
    version = next(version for version in tool.PYTHONS if version != tool.running())
    shim = tmp_path / "shims" / f"python{version}"
    kept = tmp_path / "pyenv" / "versions" / f"{version}.1" / "bin" / f"python{version}"
    for path, script in ((shim, "exit 127"), (kept, f"echo {version}")):
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    assert tool.candidates(version) == [shim, kept]
    assert tool.found_pythons() == {
        found: path
        for found, path in {version: kept, tool.running(): Path(sys.executable)}.items()
        if found in tool.PYTHONS
    }


# --- the file of a user who imports every documented name -----------------------------------------


def user_file(page: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "user_file.py"), str(page)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_pages_import_or_name_is_imported(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Call `checkpoint_objectstore.testing.simulate(seed)`, in `checkpoint.py`:\n\n"
        "```python\nimport checkpoint.testing.simulator\n"
        "from checkpoint_sql.sqlite import SqliteStore\n```\n"
    )
    lines = user_file(page).stdout.splitlines()
    imported = {line.partition(" as ")[0] for line in lines}
    assert imported >= {
        "from checkpoint import Turn",
        "from checkpoint_objectstore.testing import simulate",
        "from checkpoint.store import Store",
        "from checkpoint_sql.sqlite import SqliteStore",
        "import checkpoint.testing.simulator",
    }


@pytest.mark.parametrize("name", ["checkpoint.Nothing", "checkpoint.store.Nothing"])
def test_a_documented_name_that_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"See `{name}`.\n")
    done = user_file(page)
    assert done.returncode != 0
    assert "has no attribute 'Nothing'" in done.stderr
