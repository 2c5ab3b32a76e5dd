"""Check what is shipped: the contents of the wheel, its types, and the tests against it.

The sdist and the wheel made of it are built once. The wheel is installed into a virtual environment
of its own for each Python; the tests are those of the unpacked sdist, without its packages: what
they import can only be what was installed.

    python tools/check_dist.py [OPTION ...]

``--pythons`` takes every supported Python that is found, not only the one that runs this, and the
newest measures coverage. The tests are those of the quick run. ``--tested`` says that the one that
runs this has passed the tests from the source: they are not run again with it, unless it is the
only one. Other options are for pytest.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
TOP_LEVEL = {"checkpoint", "checkpoint_objectstore", "checkpoint_sql"}
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
# Tests of the source tree itself (generated code, documents, examples) stay behind.
SUITES = [
    *("tests/core", "tests/api", "tests/stores"),
    *("tests/objectstore/test_object_store.py", "tests/objectstore/test_directory_store.py"),
    "tests/objectstore/test_s3_options.py",
]
PYRIGHT = {
    "include": ["user_code"],
    "typeCheckingMode": "strict",
    "reportUnnecessaryTypeIgnoreComment": "error",
    "reportUnusedExpression": "none",
}


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    line = [str(part) for part in command]
    subprocess.run(line, check=True, cwd=cwd, env={**os.environ, **environment})


# --- the Pythons of this machine -----------------------------------------------------------------


def candidates(version: str) -> list[Path]:
    """Where a Python may be: on the PATH, or where pyenv and uv keep theirs."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    data = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share"))
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", data / "uv" / "python"))
    on_path = shutil.which(name)
    kept = [path for folder in (pyenv, uv) for path in sorted(folder.glob(f"*/bin/{name}"))]
    return [*([Path(on_path)] if on_path else []), *reversed(kept)]


def works(python: Path, version: str) -> bool:
    """Whether a command is a Python of this version; one of pyenv may only look like it."""
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.stdout.strip() == version


def running() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def found_pythons() -> dict[str, Path]:
    found = {}
    for version in PYTHONS:
        if version == running():
            found[version] = Path(sys.executable)
            continue
        working = [path for path in candidates(version) if works(path, version)]
        if working:
            found[version] = working[0]
    return found


# --- what is built -------------------------------------------------------------------------------


def check_wheel(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    packages = {name for name in tops if not name.endswith(".dist-info")}
    if packages != TOP_LEVEL:
        sys.exit(f"{wheel.name} has the names {sorted(packages)}, not {sorted(TOP_LEVEL)}")
    untyped = sorted(package for package in packages if f"{package}/py.typed" not in names)
    if untyped:
        sys.exit(f"{wheel.name} has no py.typed in {', '.join(untyped)}")
    print(f"{wheel.name}: {', '.join(sorted(packages))}", flush=True)


def unpack(sdist: Path, work: Path) -> Path:
    """The tests of the sdist, without what they test."""
    with tarfile.open(sdist) as archive:
        archive.extractall(work / "source", filter="data")
    (tree,) = (work / "source").iterdir()
    for package in ("checkpoint", "backends"):
        shutil.rmtree(tree / package)
    return tree


def install(wheel: Path, python: Path, version: str) -> Path:
    """A Python with the wheel, all its extras, and what the tests need.

    It is kept as ``.venv-3.X``: the next run only reinstalls the wheel.
    """
    folder = ROOT / f".venv-{version}"
    if not works(folder / "bin" / "python", version):
        run(python, "-m", "venv", "--clear", folder)
    python = folder / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet"]
    run(*pip, "--upgrade", "pip>=25.1")
    groups = [f"--group={ROOT / 'pyproject.toml'}:{name}" for name in ("test", "coverage")]
    run(*pip, f"{wheel}[all,testing]", *groups)
    run(*pip, "--force-reinstall", "--no-deps", wheel)
    return python


def check_types(python: Path, tree: Path, work: Path) -> None:
    """What users write, as mypy and pyright see it, against what was installed."""
    package = work / "user" / "user_code"
    package.mkdir(parents=True)
    for name in ("__init__.py", "accepted.py", "refused.py"):
        shutil.copy(tree / "tests" / "typing" / name, package / name)
    pages = [tree / "README.md", *sorted((tree / "docs").glob("*.md"))]
    tool: list[str | Path] = [python, "-I", tree / "tools" / "user_file.py", *pages]
    code = subprocess.run(tool, stdout=subprocess.PIPE, text=True, check=True, cwd=work).stdout
    (package / "documented.py").write_text(code)
    (work / "user" / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable"]
    run(*mypy, python, "user_code", cwd=work / "user")
    run(sys.executable, "-m", "pyright", "--pythonpath", python, cwd=work / "user")


def test(python: Path, version: str, tree: Path, options: list[str], *, coverage: bool) -> None:
    if coverage:
        options = [*options, "--cov", "--cov-report=term:skip-covered"]
    # From Python 3.12 on, coverage is measured by the interpreter itself, at little cost.
    core = {} if version == "3.11" else {"COVERAGE_CORE": "sysmon"}
    run(python, "-m", "pytest", "-q", "-n", "2", *options, *SUITES, cwd=tree, **core)


def main(arguments: list[str]) -> None:
    every = "--pythons" in arguments
    options = [option for option in arguments if option not in {"--pythons", "--tested"}]
    pythons = found_pythons() if every else {running(): Path(sys.executable)}
    missing = [version for version in PYTHONS if version not in pythons]
    if every:
        status = {**dict.fromkeys(missing, "not found, not tested"), **pythons}
        print(
            *(f"Python {version}: {status[version]}" for version in PYTHONS), sep="\n", flush=True
        )
    tested = [*pythons]
    if "--tested" in arguments and len(pythons) > 1:
        tested.remove(running())
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        work.chmod(0o755)  # some tests are run as a user without rights
        run(sys.executable, "-m", "build", "--outdir", work / "dist")
        wheel = next((work / "dist").glob("*.whl"))
        check_wheel(wheel)
        tree = unpack(next((work / "dist").glob("*.tar.gz")), work)
        for version, path in pythons.items():
            print(f"--- Python {version}", flush=True)
            python = install(wheel, path, version)
            if version == running():
                check_types(python, tree, work)
            if version in tested:
                newest = version == tested[-1]
                test(python, version, tree, options, coverage=every and newest)
    if every:
        print(f"the wheel's tests passed on Python {', '.join(tested)}")
        if missing:
            print(f"not found, not tested: Python {', '.join(missing)}")


if __name__ == "__main__":
    main(sys.argv[1:])
