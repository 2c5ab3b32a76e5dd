"""Generate the blocking twins: each ``_sync`` from the ``_async`` beside it.

The asynchronous source is written by hand; every ``await`` in it is a place where the twin blocks.
Run it after a change; ``--check`` only tells whether the twin is up to date (CI does).
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = [
    ROOT / "checkpoint" / "_async",
    ROOT / "backends" / "checkpoint_objectstore" / "_async",
]

# In order; applied to whole words of the code, its docstrings and examples alike.
REPLACEMENTS = [
    (r"    @overload\n    async def .*? \.\.\.\n", ""),  # one way to be awaited is left: none
    (r"asyncio\.run\((.*)\)", r"\1"),
    (r"\bawait ", ""),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\banext\(", "next("),
    (r"\bAsync([A-Z]\w*)", r"\1"),
    (r"\b_async\b", "_sync"),
    (r"\basync_(sleep|value)\b", r"\1"),
    (r"\bopen_async\b", "open"),
    (r"Awaitable\[R\] \| R", "R"),
    (r"Awaitable\[T\]", "T"),
    (r"\b(get|put|delete|bytes)_async\b", r"\1"),
    (r"import (\w+, )?Awaitable, ", r"import \1"),
    ("safe to share between tasks", "safe to share between threads"),
]


def blocking(source: str, name: str) -> str:
    """The blocking twin of one module."""
    for pattern, replacement in REPLACEMENTS:
        flags = re.DOTALL if "@overload" in pattern else re.NOFLAG
        source = re.sub(pattern, replacement, source, flags=flags)
    docstring, rest = source[: source.index('"""', 3) + 3], source[source.index('"""', 3) + 3 :]
    notice = f"# Generated from {name} by tools/unasync.py: change that one."
    return f"{docstring}\n\n{notice}\n{rest}"


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


def main() -> int:
    check = "--check" in sys.argv[1:]
    stale = []
    for path in (path for source in SOURCES for path in sorted(source.glob("*.py"))):
        source = path.read_text()
        name = f"{path.parent.parent.name}/_async/{path.name}"
        twin = formatted(blocking(source, name)) if source.strip() else source
        target = path.parent.parent / "_sync" / path.name
        if not target.exists() or target.read_text() != twin:
            stale.append(str(target.relative_to(ROOT)))
            if not check:
                target.parent.mkdir(exist_ok=True)
                target.write_text(twin)
    if stale:
        print("out of date:" if check else "generated:", *stale)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
