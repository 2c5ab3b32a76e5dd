"""Generate the blocking twins: each ``_sync`` from the ``_async`` beside it.

The asynchronous source is written by hand; every ``await`` in it is a place where the twin blocks.
Run it after a change; ``--check`` only tells whether the twins are up to date (CI does). What has
no blocking twin, such as a name of asyncio, is refused, with its file and line.

    python tools/unasync.py [--check] [PACKAGE ...]
"""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
import textwrap
import tokenize
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = [ROOT / "checkpoint", *sorted((ROOT / "backends").glob("checkpoint_*"))]

# In order; applied to whole words of the code, its docstrings and examples alike.
REPLACEMENTS = [
    (r"    @overload\n    async def .*? \.\.\.\n", ""),  # one way to be awaited is left: none
    (r"asyncio\.run\((.*)\)", r"\1"),
    (
        r"\(await ((?:[^()\n]|\([^()\n]*\))*)\)\.",
        r"\1.",
    ),  # (await f(x)).y needs its brackets no more
    (r"\bawait ", ""),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\banext\(", "next("),
    (r"\bAsync([A-Z]\w*)", r"\1"),
    (r"\b_async\b", "_sync"),
    (r"\basync_(sleep|value)\b", r"\1"),
    (r"\bopen_async\b", "open"),
    (r"Awaitable\[([RT])\] \| [RT]", r"\1"),
    (r"Awaitable\[T\]", "T"),
    (r"\b(get|put|delete|bytes)_async\b", r"\1"),
    (r"import (\w+, )?Awaitable, ", r"import \1"),
    ("safe to share between tasks", "safe to share between threads"),
]

# What must not be left, in names and in text. In the code of a twin, and of its examples, a name
# may not speak of asyncio at all; prose may say that something else is asynchronous.
LEFT_IN_NAMES = re.compile(
    r".*async|.*await|.*coroutine|(anyio|trio|TaskGroup|gather|create_task|to_thread|wait_for"
    r"|as_completed|get_running_loop|get_event_loop|run_in_executor|run_until_complete"
    r"|aclose|aclosing|aiter|anext|__aiter__|__anext__|__aenter__|__aexit__)$",
    re.IGNORECASE,
)
LEFT_IN_TEXT = re.compile(r"\b(asyncio|async|await(ed|s|able)?|coroutines?|event loop)\b", re.I)
ASYNC_SYNTAX = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
# What is meant to be there all the same: names, or whole lines of text.
ALLOWED: frozenset[str] = frozenset()

# What an example calls as a statement, and what returns None; the result of others is put away,
# since it would be shown.
SILENT = {"close"}


class Refused(Exception):
    """What has no blocking twin, and the line of the source that it is in."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


# --- one module ----------------------------------------------------------------------------------


def blocking(source: str, name: str) -> str:
    """The blocking twin of one module.

    Raises:
        Refused: something in it has no blocking twin.
    """
    for pattern, replacement in REPLACEMENTS:
        flags = re.DOTALL if "@overload" in pattern else re.NOFLAG
        source = re.sub(pattern, same_lines(replacement), source, flags=flags)
    for line, left in sorted(set(leftovers(source))):
        raise Refused(line, f"{left} has no blocking twin here")
    source = flat_examples(source)
    docstring, rest = source[: source.index('"""', 3) + 3], source[source.index('"""', 3) + 3 :]
    notice = f"# Generated from {name} by tools/unasync.py: change that one."
    return f"{docstring}\n\n{notice}\n{rest}"


def same_lines(replacement: str) -> Callable[[re.Match[str]], str]:
    """The replacement, as many lines long as what it replaces: errors name lines of the source."""

    def replaced(match: re.Match[str]) -> str:
        text = match.expand(replacement)
        return text + "\n" * (match[0].count("\n") - text.count("\n"))

    return replaced


# --- what must not be left -----------------------------------------------------------------------


def leftovers(code: str) -> Iterator[tuple[int, str]]:
    """What is left of asyncio in a blocking twin: the line, and what it is."""
    try:
        tree = ast.parse(code)
    except SyntaxError as exc:
        raise Refused(exc.lineno or 1, f"the twin is no Python: {exc.msg}") from None
    yield from in_code(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from in_text(node.value, node.lineno)
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        if isinstance(node, documented) and (docstring := ast.get_docstring(node, clean=False)):
            yield from in_examples(docstring, node.body[0].lineno)
    for token in tokenize.generate_tokens(StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            yield from in_text(token.string, token.start[0])


def in_code(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ASYNC_SYNTAX):
            yield line, f"`{ast.unparse(node).splitlines()[0]}`"
        elif isinstance(node, ast.comprehension) and node.is_async:
            yield node.target.lineno, f"`{ast.unparse(node)}`"
        for name in names_of(node):
            if LEFT_IN_NAMES.match(name) and name not in ALLOWED:
                yield line, f"the name {name!r}"


def names_of(node: ast.AST) -> Iterator[str]:
    """The names that a node of the syntax tree holds itself."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
            yield name
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.alias(name=name, asname=other):
            yield from name.split(".")
            yield from [other] if other else []
        case ast.ImportFrom(module=str(module)):
            yield from module.split(".")
        case ast.keyword(arg=str(name)):
            yield name


def in_text(text: str, first: int) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines()):
        for found in LEFT_IN_TEXT.finditer(line):
            if line.strip() not in ALLOWED:
                yield first + number, f"the word {found[0]!r} in a text"


def in_examples(docstring: str, first: int) -> Iterator[tuple[int, str]]:
    for example in doctest.DocTestParser().get_examples(docstring):
        for line, left in in_code(ast.parse(example.source)):
            yield first + example.lineno + line - 1, f"{left} in an example"


# --- examples ------------------------------------------------------------------------------------


def flat_examples(code: str) -> str:
    """Examples without the function that asyncio runs: its body, statement by statement."""
    lines = code.splitlines()
    flat: list[str] = []
    at = 0
    while at < len(lines):
        indent, prompt, first = lines[at].partition(">>> ")
        if not prompt or indent.strip() or first != "def main():":
            flat.append(lines[at])
            at += 1
            continue
        end = at + 1
        while end < len(lines) and lines[end].startswith(f"{indent}... "):
            end += 1
        if end == len(lines) or lines[end] != f"{indent}>>> main()":
            raise Refused(at + 1, "an example's main() is not run by asyncio.run(main()) after it")
        body = "\n".join(line[len(indent) + 4 :] for line in lines[at:end])
        flat += [indent + line for line in statements_of_main(body, at + 1)]
        at = end + 1
    return "\n".join(flat) + "\n"


def statements_of_main(example: str, line: int) -> list[str]:
    """The statements in an example's ``main()``, as typed at a prompt.

    A checkpointer that the whole body is in is opened by a statement; what ``main()`` returns is
    typed last, so that it is shown.
    """
    if "#" in example:
        raise Refused(line, "an example with a comment in its main() cannot be made flat")
    (main,) = ast.parse(example).body
    assert isinstance(main, ast.FunctionDef)
    shown: list[str] = []
    body = main.body
    match body:
        case [ast.With(items=[ast.withitem(context, ast.Name(id=name))], body=inner)]:
            shown.append(f">>> {name} = {ast.get_source_segment(example, context)}")
            body = inner
    for statement in body:
        is_last = statement is body[-1]
        returns = [node for node in ast.walk(statement) if isinstance(node, ast.Return)]
        if returns and not (is_last and returns == [statement]):
            raise Refused(line, "an example's main() may return as its last statement only")
        source = ast.get_source_segment(example, statement, padded=True)
        first, *more = textwrap.dedent(source or "").splitlines()
        first = first.removeprefix("return ")
        if isinstance(statement, ast.Expr) and not is_silent(statement.value):
            first = f"_ = {first}"
        shown += [f">>> {first}", *(f"... {line}" for line in more)]
    return shown


def is_silent(expression: ast.expr) -> bool:
    """Whether an expression of an example is known to be None."""
    match expression:
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in SILENT
    return False


# --- files ---------------------------------------------------------------------------------------


def formatted(code: str) -> str:
    """As ruff would leave it: shorter words make for other lines."""
    for arguments in (["check", "--fix-only", "--quiet", "--select", "I,F401"], ["format"]):
        command = [
            sys.executable,
            "-m",
            "ruff",
            *arguments,
            "--stdin-filename",
            "checkpoint/_sync/x.py",
        ]
        result = subprocess.run(
            [*command, "-"], input=code, capture_output=True, text=True, check=True, cwd=ROOT
        )
        code = result.stdout
    return code


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def entries(folder: Path) -> list[Path]:
    """What is in a folder, but for what Python leaves there."""
    return sorted(path for path in folder.glob("*") if path.name != "__pycache__")


def twins(package: Path) -> tuple[dict[Path, str], list[str]]:
    """The twins that a package must have, and what is refused of their sources."""
    wanted: dict[Path, str] = {}
    refused = []
    for folder in sorted(package.rglob("_async")):
        for path in entries(folder):
            if path.is_dir() or path.suffix != ".py":
                refused.append(
                    f"{shown(path)}: only modules have a twin; put this elsewhere, or its modules "
                    f"into {shown(folder)} itself"
                )
                continue
            source = path.read_text()
            try:
                twin = blocking(source, str(path.relative_to(package.parent))) if source else ""
            except Refused as exc:
                refused.append(f"{shown(path)}:{exc.line}: {exc}")
                continue
            wanted[folder.parent / "_sync" / path.name] = formatted(twin)
    return wanted, refused


def orphans(package: Path, wanted: dict[Path, str]) -> list[Path]:
    """What is in the generated folders and has no source."""
    found = [path for folder in sorted(package.rglob("_sync")) for path in folder.rglob("*")]
    files = [path for path in found if path.is_file() and "__pycache__" not in path.parts]
    return [path for path in files if path not in wanted]


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    given = [Path(argument).resolve() for argument in arguments if argument != "--check"]
    failed = False
    for package in given or PACKAGES:
        wanted, refused = twins(package)
        stale = [
            path for path, twin in wanted.items() if not path.exists() or path.read_text() != twin
        ]
        # A source that was refused has a twin all the same: it is not reported as an orphan too.
        lost = [] if refused else orphans(package, wanted)
        for problem in refused:
            print(problem, file=sys.stderr)
        if stale:
            print("out of date:" if check else "generated:", *map(shown, stale))
        if lost:
            print("without a source:" if check else "removed:", *map(shown, lost))
        failed = failed or bool(refused) or (check and bool(stale or lost))
        if check:
            continue
        for path in stale:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path])
        for path in lost:
            path.unlink()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
