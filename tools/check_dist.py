"""Check what is shipped: the names in the wheel, and the tests against an installed sdist.

The sdist is unpacked, installed into a new virtual environment, its packages are deleted from where
it was unpacked, and its own tests run: what they import can only be what was installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
TOP_LEVEL = {"checkpoint", "checkpoint_objectstore", "checkpoint_sql"}
# Tests of the source tree itself (generated code, documents, examples) stay behind.
SUITES = [
    *("tests/core", "tests/api", "tests/stores"),
    *("tests/objectstore/test_object_store.py", "tests/objectstore/test_directory_store.py"),
    "tests/objectstore/test_s3_options.py",
]


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=cwd)


def check_wheel(wheel: Path) -> None:
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    packages = {name for name in names if not name.endswith(".dist-info")}
    if packages != TOP_LEVEL:
        sys.exit(f"{wheel.name} has the names {sorted(packages)}, not {sorted(TOP_LEVEL)}")
    print(f"{wheel.name}: {', '.join(sorted(packages))}")


def check_sdist(sdist: Path, work: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(work / "source", filter="data")
    (tree,) = (work / "source").iterdir()
    python = work / "venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", work / "venv")
    install: list[str | Path] = [python, "-m", "pip", "install", "--quiet"]
    run(*install, "--upgrade", "pip>=25.1")
    run(*install, f"{tree}[all]", "--group", f"{tree}/pyproject.toml:test")
    for package in ("checkpoint", "backends"):
        shutil.rmtree(tree / package)
    all_of_it = ("-m", "", "--hypothesis-profile=ci")
    run(python, "-m", "pytest", "-q", "-n", "2", *all_of_it, *SUITES, cwd=tree)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        work.chmod(0o755)  # some tests are run as a user without rights
        run(sys.executable, "-m", "build", "--outdir", work / "dist")
        check_wheel(next((work / "dist").glob("*.whl")))
        check_sdist(next((work / "dist").glob("*.tar.gz")), work)


if __name__ == "__main__":
    main()
