"""Compile the statements of ``checkpoint_sql`` to text, for drivers that run without SQLAlchemy.

Run it after changing tables or queries. ``--check``, as in CI, only checks that the text is up to
date.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.expression import ClauseElement

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "backends"))

from checkpoint_sql._queries import STATEMENTS  # noqa: E402
from checkpoint_sql._tables import LAYOUT, metadata  # noqa: E402

TARGET = ROOT / "backends" / "checkpoint_sql" / "_sqlite_statements.py"


def statements() -> str:
    dialect = sqlite.dialect(paramstyle="named")
    lines = [
        '"""The statements of a SQLite store, as text."""',
        "",
        "# Generated from _tables.py and _queries.py by tools/compile_sql.py: change those.",
        "",
        f"LAYOUT = {LAYOUT}",
        "",
        f"TABLES = {{{', '.join(sorted(repr(name) for name in metadata.tables))}}}",
        "",
        "CREATE_TABLES = [",
    ]
    for table in metadata.sorted_tables:
        creation: list[ClauseElement] = [CreateTable(table), *map(CreateIndex, table.indexes)]
        for element in creation:
            lines.append(f'    """{str(element.compile(dialect=dialect)).strip()}""",')
    lines += ["]", ""]
    for name, statement in STATEMENTS.items():
        lines.append(f'{name} = """{str(statement.compile(dialect=dialect)).strip()}"""')
    text = "\n".join(line.rstrip() for line in "\n".join(lines).replace("\t", "    ").split("\n"))
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", TARGET.name, "-"]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout


def main() -> int:
    text = statements()
    if TARGET.exists() and TARGET.read_text() == text:
        return 0
    if "--check" in sys.argv[1:]:
        print(f"out of date: {TARGET.relative_to(ROOT)}; run python tools/compile_sql.py")
        return 1
    TARGET.write_text(text)
    print(f"generated: {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
