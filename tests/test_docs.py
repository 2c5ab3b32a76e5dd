"""Every snippet in the README and in docs/ runs, in order, as a reader would run it."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_snippets_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    level = logging.getLogger("checkpoint").level
    names: dict[str, object] = {"__name__": "snippet"}
    text = page.read_text()
    for match in re.finditer(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        line = text[: match.start()].count("\n") + 1
        snippet = match.group(1).replace("file:///tmp/", f"file://{tmp_path}/")
        code = compile("\n" * line + snippet, str(page), "exec", dont_inherit=True)
        exec(code, names)
    logging.getLogger("checkpoint").setLevel(level)


def test_links_between_pages_lead_somewhere() -> None:
    for page in (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "tests" / "README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_names_the_two_commands_and_the_five_failures() -> None:
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for command in ("demo", "test", "test-all"):
        assert f"make {command}" in readme
        assert re.search(rf"^{command}:", makefile, flags=re.MULTILINE)
    answers = re.findall(r"^\| \*\*|^\| Only|^\| \w.*\*\*", readme, flags=re.MULTILINE)
    assert len(answers) == 5


def modules() -> set[str]:
    """The modules of the packages that are written by hand."""
    roots = [ROOT / "checkpoint", *(ROOT / "backends").iterdir()]
    paths = {path.relative_to(ROOT).as_posix() for root in roots for path in root.rglob("*.py")}
    generated = {path for path in paths if "/_sync/" in path or path.endswith("_statements.py")}
    return {path for path in paths - generated if not path.endswith("__init__.py")}


def test_contributing_names_each_module() -> None:
    """In the table of its folder, or by a folder of which there is no table."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    table = r"^\| `([\w/]+/)` \| [^|]+ \|\n\|[-|]+\|\n((?:\|.*\n)+)"
    named: set[str] = set()
    tables = set()
    for folder, rows in re.findall(table, contributing, flags=re.MULTILINE):
        tables.add(folder)
        for cell in re.findall(r"^\| ([^|]+) \|", rows, flags=re.MULTILINE):
            named |= {folder + name for name in re.findall(r"`([^`]+)`", cell)}
    assert len(tables) > 5
    assert {name for name in named if not (ROOT / name).exists()} == set()
    named |= set(re.findall(r"`([\w/]+/)`", contributing))
    whole = {name for name in named if name.endswith("/") and (ROOT / name).is_dir()}
    whole = {name for name in whole if not any(folder.startswith(name) for folder in tables)}
    missing = {path for path in modules() - named if not path.startswith((*whole,))}
    assert missing == set()


NAMED = [re.compile(r"`(\w+)` in `([\w/]+\.py)`"), re.compile(r"`([\w/]+\.py)`: `(?:\w+\.)?(\w+)`")]


def test_contributing_names_what_is_in_its_module() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    pairs = NAMED[0].findall(text) + [(name, module) for module, name in NAMED[1].findall(text)]
    assert len(pairs) > 15
    for name, module in pairs:
        path = ROOT / ("" if (ROOT / module).exists() else "checkpoint") / module
        assert re.search(rf"\b{name}\b", path.read_text()), f"`{name}` is not in {module}"
