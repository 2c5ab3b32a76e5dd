"""Output of the command line: tables and text, or JSON."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from checkpoint import Change, Snapshot
from checkpoint._document.codec import encode

T = TypeVar("T")

# Width of the output in characters if it is not a terminal. Lines are not cut there.
_WIDE = 160

# Control characters except the newline, as JSON escapes them.
_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(10), *range(11, 32), *range(127, 160))}
_TAGS = {dict: "$map"}


# --- JSON ----------------------------------------------------------------------------------------


def to_json(value: Any) -> Any:
    """A document as JSON; a value that JSON cannot represent becomes ``{"$type": …}``.

    Example:
        >>> to_json({"at": (1, 2), "raw": b"hi", 7: None})
        {'$map': [['at', {'$tuple': [1, 2]}], ['raw', {'$bytes': 'aGk='}], [7, None]]}
    """
    kind = type(value)
    if kind is dict and all(type(key) is str for key in value):
        return {key: to_json(item) for key, item in value.items()}
    if kind is list:
        return [to_json(item) for item in value]
    if kind in (str, bool, type(None)) or _is_json_number(value):
        return value
    return {_TAGS.get(kind, f"${kind.__name__.lower()}"): _untagged(value)}


def _is_json_number(value: Any) -> bool:
    """Whether every reader of JSON gets the same number: it is finite, and within 64 bits."""
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is int and -(2**63) <= value < 2**64


def _untagged(value: Any) -> Any:
    if isinstance(value, dict):
        return [[to_json(key), to_json(item)] for key, item in value.items()]
    if isinstance(value, (set, frozenset)):
        return [to_json(item) for item in sorted(value, key=encode)]  # the same in every process
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return str(value)


def snapshot_as_dict(snapshot: Snapshot) -> dict[str, Any]:
    """The metadata of a revision, as JSON."""
    writer, schema = snapshot.writer, snapshot.schema
    return {
        "revision": snapshot.revision,
        "kind": snapshot.kind,
        "parent_revision": snapshot.parent_revision,
        "source": snapshot.source,
        "saved_at": snapshot.saved_at,
        "writer": {"host": writer.host, "pid": writer.pid, "name": writer.name},
        "turn_id": snapshot.turn_id,
        "size": snapshot.size,
        "labels": snapshot.labels,
        "schema": {
            "name": schema.name,
            "version": schema.version,
            "fingerprint": schema.fingerprint.hex(),
        },
        "write_id": snapshot.write_id,
    }


def print_json(value: Any) -> None:
    """Print one JSON document, all in ASCII; times are ISO 8601."""
    print(json.dumps(value, indent=2, default=dt.datetime.isoformat))


# --- text ----------------------------------------------------------------------------------------


def terminal() -> Console:
    """A console for text; if it is not a terminal, lines are not cut to its width."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDE)


def print_table(titles: list[str], rows: Sequence[tuple[object, ...]], none: str) -> None:
    """Print a table; a title with > right-aligns its column; an empty last column is left out."""
    console = terminal()
    if not rows:
        console.print(none)
        return
    table = Table(header_style="bold")
    for title in titles if any(row[-1] for row in rows) else titles[:-1]:
        table.add_column(title.removeprefix(">"), justify="right" if title[0] == ">" else "left")
    for row in rows:
        cells = [Text(visible(_cell(value))) for value in row]
        table.add_row(*cells[: len(table.columns)])
    console.print(table)


def _cell(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, dt.datetime) else str(value)


def span(revisions: tuple[int, int]) -> str:
    """A range of revisions, such as ``3-7``."""
    first, last = revisions
    return str(first) if first == last else f"{first}-{last}"


@contextmanager
def progress(
    what: str, total: int | None = None, *, silent: bool = False
) -> Iterator[Callable[[T], T]]:
    """A progress bar on standard error, if that is a terminal; each value passed is one step."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.completed:,} {task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=silent or not console.is_terminal,
    )
    with bar:
        task = bar.add_task(what, total=total)

        def advance(value: T) -> T:
            bar.advance(task)
            return value

        yield advance


def notes(snapshot: Snapshot) -> Iterator[str]:
    """The labels of a revision, and its origin if that is not the revision before it."""
    yield from map(repr, snapshot.labels)
    if snapshot.source:
        yield "copied from {!r}, revision {}".format(*snapshot.source)
    elif snapshot.parent_revision != snapshot.revision - 1:
        yield f"based on revision {snapshot.parent_revision}"


def lines(change: Change) -> Iterator[Text]:
    """A change as text: its path, and below it each item that was added."""
    if change.kind == "set":
        yield Text(visible(f"{change.path} = {_on_one_line(change.value)}"), "green")
        return
    yield Text(visible(str(change)), "red" if change.kind == "delete" else "bold")
    items = change.value if isinstance(change.value, list) else [change.value]
    for item in items if change.value else []:
        yield Text(visible(f"  + {_on_one_line(item)}"), "green")


def _on_one_line(value: Any) -> str:
    return json.dumps(to_json(value), ensure_ascii=False)


def visible(text: str) -> str:
    """Text that cannot move the cursor or colour the screen."""
    return text.translate(_ESCAPES)
