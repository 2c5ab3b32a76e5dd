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
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_names_the_two_commands_and_the_five_failures() -> None:
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for command in ("demo", "test"):
        assert f"make {command}" in readme
        assert re.search(rf"^{command}:", makefile, flags=re.MULTILINE)
    answers = re.findall(r"^\| \*\*|^\| Only|^\| \w.*\*\*", readme, flags=re.MULTILINE)
    assert len(answers) == 5
