"""The generator of the blocking twins: what it writes, what it removes, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOL = ROOT / "tools" / "unasync.py"

SOURCE = '''"""A module."""

from __future__ import annotations

from collections.abc import AsyncIterator


async def twice(numbers: AsyncIterator[int]) -> list[int]:
    """Each number, twice."""
    return [2 * number async for number in numbers]
'''
TWIN = '''"""A module."""

# Generated from package/_async/module.py by tools/unasync.py: change that one.

from __future__ import annotations

from collections.abc import Iterator


def twice(numbers: Iterator[int]) -> list[int]:
    """Each number, twice."""
    return [2 * number for number in numbers]
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with one module and its twin."""
    package = tmp_path / "package"
    (package / "_async").mkdir(parents=True)
    (package / "_async" / "module.py").write_text(SOURCE)
    assert generate(package).returncode == 0
    return package


def generate(package: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *options, str(package)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def refusal(package: Path, code: str) -> str:
    """What the tool says of a module that ends with this code; nothing is written for it."""
    (package / "_async" / "module.py").write_text(SOURCE + code)
    for options in ((), ("--check",)):
        done = generate(package, *options)
        assert done.returncode == 1
        assert (package / "_sync" / "module.py").read_text() == TWIN
    return done.stderr.removeprefix(f"{package}/_async/module.py").strip()


def test_the_twin_is_the_blocking_form_of_its_source(package: Path) -> None:
    assert (package / "_sync" / "module.py").read_text() == TWIN
    assert generate(package, "--check").returncode == 0


def test_a_twin_that_was_edited_is_told_and_written_anew(package: Path) -> None:
    twin = package / "_sync" / "module.py"
    twin.write_text(TWIN + "x = 1\n")
    done = generate(package, "--check")
    assert done.returncode == 1
    assert done.stdout == f"out of date: {twin}\n"
    assert generate(package).returncode == 0
    assert twin.read_text() == TWIN


def test_a_twin_without_a_source_is_told_and_removed(package: Path) -> None:
    orphan = package / "_sync" / "gone.py"
    orphan.write_text(TWIN)
    done = generate(package, "--check")
    assert done.returncode == 1
    assert done.stdout == f"without a source: {orphan}\n"
    assert orphan.exists()

    assert generate(package).returncode == 0
    assert not orphan.exists()
    assert generate(package, "--check").returncode == 0


def test_all_twins_of_a_source_folder_that_is_gone_are_told(package: Path) -> None:
    (package / "_async" / "module.py").unlink()
    (package / "_async").rmdir()
    done = generate(package, "--check")
    assert done.returncode == 1
    assert "without a source" in done.stdout


def test_a_twin_in_a_folder_of_its_own_is_told(package: Path) -> None:
    (package / "_sync" / "deeper").mkdir()
    (package / "_sync" / "deeper" / "module.py").write_text(TWIN)
    done = generate(package, "--check")
    assert done.returncode == 1
    assert "deeper/module.py" in done.stdout


def test_a_folder_among_the_sources_is_refused(package: Path) -> None:
    (package / "_async" / "deeper").mkdir()
    (package / "_async" / "deeper" / "module.py").write_text(SOURCE)
    for options in ((), ("--check",)):
        done = generate(package, *options)
        assert done.returncode == 1
        assert f"{package}/_async/deeper: only modules have a twin" in done.stderr


@pytest.mark.parametrize(
    ("code", "line", "told"),
    [
        ("import asyncio\n", 11, "the name 'asyncio'"),
        ("from asyncio import timeout\n", 11, "the name 'asyncio'"),
        ("\nfrom contextlib import aclosing\n", 12, "the name 'aclosing'"),
        ("async def f():\n    async with asyncio.timeout(1):\n        pass\n", 12, "'asyncio'"),
        ("async def f(group):\n    group.create_task(g())\n", 12, "the name 'create_task'"),
        ("async def f(a):\n    return await gather(a, a)\n", 12, "the name 'gather'"),
        ("async def f(a: Awaitable[int]) -> None: ...\n", 11, "the name 'Awaitable'"),
        ("class C:\n    def __await__(self): ...\n", 12, "the name '__await__'"),
        ("async def f(a):\n    return await(a)\n", 12, "`await a`"),
        ("async  def f(): ...\n", 11, "`async def f():`"),
        ("async def f(a):\n    return [b async  for b in a]\n", 12, "` async for b in a`"),
        ('TOLD = "say `await`, please"\n', 11, "the word 'await' in a text"),
        ("x = 1  # the event loop does it\n", 11, "the word 'event loop' in a text"),
        (
            'def f():\n    """A.\n\n    >>> g(asyncio.sleep)\n    """\n',
            14,
            "'asyncio' in an example",
        ),
    ],
)
@pytest.mark.slow
def test_what_has_no_blocking_twin_is_refused(
    package: Path, code: str, line: int, told: str
) -> None:
    said = refusal(package, code).splitlines()
    assert any(f":{line}: " in problem and told in problem for problem in said), said


def test_a_line_is_told_as_it_is_in_the_source(package: Path) -> None:
    """Also below what has no place in the twin."""
    code = """
class C:
    @overload
    async def f(
        self, a: int
    ) -> int: ...
    async def f(self, a): ...

    x = asyncio
"""
    assert refusal(package, code).startswith(":19: the name 'asyncio'")


# --- examples ------------------------------------------------------------------------------------


def example(package: Path, *lines: str) -> list[str]:
    """The lines of an example in a docstring of the twin."""
    text = "\n".join(f"    {line}" for line in lines)
    (package / "_async" / "module.py").write_text(
        f'{SOURCE}\n\ndef f() -> None:\n    """F.\n\n{text}\n    """\n'
    )
    done = generate(package)
    assert done.returncode == 0, done.stderr
    _, _, written = (package / "_sync" / "module.py").read_text().partition('"""F.\n\n')
    return [line.removeprefix("    ") for line in written.splitlines()[: len(lines)]]


def test_an_example_is_typed_statement_by_statement(package: Path) -> None:
    assert example(
        package,
        ">>> async def main():",
        '...     async with checkpoint.open_async("memory://") as cp:',
        '...         await cp.save("user-42", {"n": 1})',
        '...         async with cp.turn("user-42") as turn:',
        '...             turn.state["n"] = 2',
        '...         return (await cp.restore("user-42")).state',
        ">>> asyncio.run(main())",
        "{'n': 2}",
    )[:6] == [
        '>>> cp = checkpoint.open("memory://")',
        '>>> _ = cp.save("user-42", {"n": 1})',
        '>>> with cp.turn("user-42") as turn:',
        '...     turn.state["n"] = 2',
        '>>> cp.restore("user-42").state',
        "{'n': 2}",
    ]


def test_an_example_without_asyncio_stays_as_it_is(package: Path) -> None:
    lines = [">>> def twice(n):", "...     return 2 * n", ">>> twice(1)", "2"]
    assert example(package, *lines) == lines


@pytest.mark.parametrize(
    ("body", "last", "told"),
    [
        (["if x:", "    return 1"], "asyncio.run(main())", "return as its last statement only"),
        (["return 1"], "x = asyncio.run(main())", "not run by asyncio.run(main()) after it"),
        (["return 1  # one"], "asyncio.run(main())", "comment in its main()"),
    ],
)
def test_an_example_that_cannot_be_made_flat_is_refused(
    package: Path, body: list[str], last: str, told: str
) -> None:
    lines = [">>> async def main():", *(f"...     {line}" for line in body), f">>> {last}"]
    text = "\n".join(f"    {line}" for line in lines)
    said = refusal(package, f'def f():\n    """F.\n\n{text}\n    """\n')
    assert said.startswith(":14: ")
    assert told in said


def test_the_blocking_face_is_shown_without_asyncio() -> None:
    command = [sys.executable, "-c", "import checkpoint; help(checkpoint.Checkpointer)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert '>>> with cp.turn("user-42") as turn:' in done.stdout
    assert "main()" not in done.stdout
    assert "async" not in done.stdout
