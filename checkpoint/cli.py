"""The command line: look at what a store holds, and play the demo.

Each command reads a store through the same calls as any program, whatever the schemas in it, and
creates nothing. With ``--json`` it prints one JSON document, for programs.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote

import typer
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

import checkpoint
from checkpoint import Change, Checkpointer, Snapshot
from checkpoint.codec import encode

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

# What typer raises for wrong usage. It has no public name; the public one is derived from it.
UsageError: type[Any] = typer.BadParameter.__mro__[1]

# Width in characters where no terminal has one. Nothing is cut there.
_WIDE = 160

# Characters of a state that are worth colours. More take rich seconds, and nobody reads them.
_COLOURED = 100_000

# Control characters but the newline, as JSON spells them.
_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(10), *range(11, 32), *range(127, 160))}
_TAGS = {dict: "$map"}


def _check_url(url: str | None) -> str | None:
    # Surrogates stand for bytes of an argument that are no UTF-8.
    if url and any(unicodedata.category(char) in ("Cc", "Cs") for char in unquote(url)):
        raise typer.BadParameter("a store's URL is UTF-8 without control characters")
    return url


_URL_HELP = "The store, such as sqlite:///agents.db."
Url = Annotated[str, typer.Argument(metavar="URL", callback=_check_url, help=_URL_HELP)]
Session = Annotated[str, typer.Argument(metavar="SESSION", help="Id of the session.")]
Namespace = Annotated[str, typer.Option(metavar="NAME", help="Namespace to look in.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(checkpoint.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Look at the agent sessions in a store, or see a demo."""


# --- the commands --------------------------------------------------------------------------------


@app.command()
def sessions(
    url: Url,
    namespace: Namespace = "default",
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Only ids that begin so.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the sessions of a store.

    For example:

        checkpoint sessions sqlite:///agents.db --prefix user-
    """
    with _open(url, namespace) as cp:
        found = list(cp.sessions(prefix))
    if as_json:
        names = ("namespace", "session_id", "revision", "saved_at")
        _print_json([{name: getattr(session, name) for name in names} for session in found])
        return
    rows = [(session.session_id, session.revision, session.saved_at) for session in found]
    _print_table(
        ["Session", ">Revision", "Saved at (UTC)"], rows, f"no sessions in namespace {namespace!r}"
    )


@app.command()
def show(
    url: Url,
    session: Session,
    revision: Annotated[
        str | None, typer.Option(metavar="N|LABEL", help="A revision; the newest, if not given.")
    ] = None,
    namespace: Namespace = "default",
    as_json: AsJson = False,
) -> None:
    """Show the state of a session, at any revision.

    What JSON has no word for is told as an object of one key, such as {"$bytes": "aGk="}.

    For example:

        checkpoint show sqlite:///agents.db user-42 --revision 1
    """
    with _open(url, namespace) as cp:
        document = cp.document(session, revision=None if revision is None else _revision(revision))
    if as_json:
        _print_json(plain(document))
        return
    text = _visible(json.dumps(plain(document), indent=2, ensure_ascii=False))
    console = _console()
    if console.is_terminal and len(text) < _COLOURED:
        console.print(JSONHighlighter()(text), soft_wrap=True)
    else:
        print(text)


@app.command()
def history(
    url: Url,
    session: Session,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the newest N; all, if not given.")
    ] = None,
    namespace: Namespace = "default",
    as_json: AsJson = False,
) -> None:
    """List the revisions of a session, newest first.

    For example:

        checkpoint history sqlite:///agents.db user-42 --limit 20
    """
    with _open(url, namespace) as cp:
        found = cp.history(session, limit=limit)
    if as_json:
        _print_json([_as_dict(snapshot) for snapshot in found])
        return
    titles = [">Revision", "Kind", "Saved at (UTC)", "Writer", "Turn", ">Bytes", "Schema", "Notes"]
    rows = [
        (
            snapshot.revision,
            snapshot.kind,
            snapshot.saved_at,
            snapshot.writer,
            snapshot.turn_id or "",
            snapshot.size,
            snapshot.schema,
            "; ".join(_notes(snapshot)),
        )
        for snapshot in found
    ]
    _print_table(titles, rows, "no revisions")


@app.command()
def diff(
    url: Url,
    session: Session,
    old: Annotated[str, typer.Argument(metavar="OLD", help="A revision: its number or label.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Another one.")],
    namespace: Namespace = "default",
    as_json: AsJson = False,
) -> None:
    """Tell what changed from one revision to another.

    For example:

        checkpoint diff sqlite:///agents.db user-42 1 2
    """
    with _open(url, namespace) as cp:
        changes = cp.diff(session, _revision(old), _revision(new))
    if as_json:
        _print_json(
            [
                {
                    "kind": change.kind,
                    "path": change.path,
                    "start": change.start,
                    "deleted": change.deleted,
                    "value": plain(change.value),
                }
                for change in changes
            ]
        )
        return
    console = _console()
    for change in changes:
        for line in _lines(change):
            if console.is_terminal:
                line.truncate(console.width, overflow="ellipsis")
            console.print(line, soft_wrap=True)
    if not changes:
        console.print("no difference")


@app.command()
def demo(
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL", callback=_check_url, help="Keep its session there; else in a new file."
        ),
    ] = None,
) -> None:
    """See an agent keep its memory across processes.

    Fails, with exit code 1, if anything was lost or doubled.

    For example:

        checkpoint demo
    """
    from checkpoint.demo import play

    if not play(_console(), store):
        raise typer.Exit(1)


# --- arguments -----------------------------------------------------------------------------------


def _open(url: str, namespace: str) -> Checkpointer[dict[str, Any]]:
    return checkpoint.open(_for_looking(url), namespace=namespace)


def _for_looking(url: str) -> str:
    """The URL that opens a SQLite file read-only, lest a mistyped name create one."""
    location, _, query = url.partition("?")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    if not location.lower().startswith("sqlite://") or "mode" in parameters:
        return url
    return f"{location}?{query}&mode=ro" if query else f"{location}?mode=ro"


def _revision(text: str) -> int | str:
    """A number is a revision, all else is a label."""
    return int(text) if text.isdecimal() and len(text) < 20 else text


# --- JSON ----------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """A document as JSON can tell it; what JSON has no word for becomes ``{"$type": …}``.

    Example:
        >>> plain({"at": (1, 2), "raw": b"hi", 7: None})
        {'$map': [['at', {'$tuple': [1, 2]}], ['raw', {'$bytes': 'aGk='}], [7, None]]}
    """
    kind = type(value)
    if kind is dict and all(type(key) is str for key in value):
        return {key: plain(item) for key, item in value.items()}
    if kind is list:
        return [plain(item) for item in value]
    if kind in (str, bool, type(None)) or _is_json_number(value):
        return value
    return {_TAGS.get(kind, f"${kind.__name__.lower()}"): _untagged(value)}


def _is_json_number(value: Any) -> bool:
    """Whether all readers of JSON take it for what it is: finite, and within 64 bits."""
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is int and -(2**63) <= value < 2**64


def _untagged(value: Any) -> Any:
    if isinstance(value, dict):
        return [[plain(key), plain(item)] for key, item in value.items()]
    if isinstance(value, (set, frozenset)):
        return [plain(item) for item in sorted(value, key=encode)]  # the same in every process
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return str(value)


def _as_dict(snapshot: Snapshot) -> dict[str, Any]:
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


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=dt.datetime.isoformat))


# --- text ----------------------------------------------------------------------------------------


def _console() -> Console:
    """For people; where nobody watches, lines are not cut to the width of a terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDE)


def _print_table(titles: list[str], rows: Sequence[tuple[object, ...]], none: str) -> None:
    """Print a table; titles that begin with > are of numbers, and an empty last column is cut."""
    console = _console()
    if not rows:
        console.print(none)
        return
    table = Table(header_style="bold")
    for title in titles if any(row[-1] for row in rows) else titles[:-1]:
        table.add_column(title.removeprefix(">"), justify="right" if title[0] == ">" else "left")
    for row in rows:
        cells = [Text(_visible(_cell(value))) for value in row]
        table.add_row(*cells[: len(table.columns)])
    console.print(table)


def _cell(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, dt.datetime) else str(value)


def _notes(snapshot: Snapshot) -> Iterator[str]:
    yield from map(repr, snapshot.labels)
    if snapshot.source:
        yield "copy of {!r} at {}".format(*snapshot.source)
    elif snapshot.parent_revision != snapshot.revision - 1:
        yield f"made from {snapshot.parent_revision}"


def _lines(change: Change) -> Iterator[Text]:
    """A change in words: its place, and below it each item that came in."""
    if change.kind == "set":
        yield Text(_visible(f"{change.path} = {_on_one_line(change.value)}"), "green")
        return
    yield Text(_visible(str(change)), "red" if change.kind == "delete" else "bold")
    items = change.value if isinstance(change.value, list) else [change.value]
    for item in items if change.value else []:
        yield Text(_visible(f"  + {_on_one_line(item)}"), "green")


def _on_one_line(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False)


def _visible(text: str) -> str:
    """Text that cannot move the cursor or colour the screen."""
    return text.translate(_ESCAPES)
