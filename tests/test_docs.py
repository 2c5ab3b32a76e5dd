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


def test_contributing_has_a_row_for_each_module() -> None:
    """A row names one by the end of its path, or a folder for all that is in it."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    cells = re.findall(r"^\| (`[^|]+`) \|", contributing, flags=re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    left, gone = modules(), []
    # Several may end alike, such as store.py: each row stands for one, the longest name first.
    for name in sorted(named, key=lambda name: (name.endswith("/"), -len(name))):
        if name.endswith("/"):
            found = {path for path in left if f"/{name}" in path}
            if not found and not any(path.is_dir() for path in ROOT.glob(f"*/**/{name}")):
                gone.append(name)
        else:
            found = set(sorted(path for path in left if f"/{path}".endswith(f"/{name}"))[:1])
            if not found:
                gone.append(name)
        left -= found
    assert named
    assert gone == [], "named in CONTRIBUTING.md, and no module"
    assert left == set(), "modules that CONTRIBUTING.md does not name"
