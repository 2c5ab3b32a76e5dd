"""The command line: inspect a store, remove old data from it, and run the demo.

The commands use the public API. They read sessions of any schema, and create no store. With
``--json`` they print one JSON document.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import unicodedata
from contextlib import nullcontext, suppress
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote

import typer
from rich.highlighter import JSONHighlighter

import checkpoint
from checkpoint import Checkpointer, Problem, Pruned, Retention, SessionNotFound
from checkpoint.printing import (
    lines,
    notes,
    plain,
    print_json,
    print_table,
    progress,
    snapshot_as_dict,
    span,
    terminal,
    visible,
)

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

# What typer raises for wrong usage. It has no public name; the public one is derived from it.
UsageError: type[Any] = typer.BadParameter.__mro__[1]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

# Characters of a state that are worth colours. More take rich seconds, and nobody reads them.
_COLOURED = 100_000


def _check_url(url: str | None) -> str | None:
    # Surrogates stand for bytes of an argument that are no UTF-8.
    if url and any(unicodedata.category(char) in ("Cc", "Cs") for char in unquote(url)):
        raise typer.BadParameter("the URL of a store must be UTF-8 without control characters")
    return url


_URL_HELP = "URL of the store, such as sqlite:///agents.db."
Url = Annotated[str, typer.Argument(metavar="URL", callback=_check_url, help=_URL_HELP)]
Session = Annotated[str, typer.Argument(metavar="SESSION", help="Id of the session.")]
Namespace = Annotated[str, typer.Option(metavar="NAME", help="Namespace of the sessions.")]
Optional = Annotated[
    str | None,
    typer.Argument(metavar="[SESSION]", help="Id of the session; by default all sessions."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]


def _time(text: str) -> dt.timedelta:
    """A time as the command line takes it, such as ``30d``."""
    match = re.fullmatch(r"(\d{1,9})([smhdw])", text)
    if match is None:
        raise typer.BadParameter("a time is a number followed by s, m, h, d or w, such as 30d")
    try:
        return dt.timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError as exc:
        raise typer.BadParameter("this time is too long") from exc


def _show_version(wanted: bool) -> None:
    if wanted:
        print(checkpoint.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Inspect and maintain the agent sessions in a store, or run a demo."""


# --- the commands --------------------------------------------------------------------------------


@app.command()
def sessions(
    url: Url,
    namespace: Namespace = "default",
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="List only ids that begin with TEXT.")
    ] = "",
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
        print_json([{name: getattr(session, name) for name in names} for session in found])
        return
    rows = [(session.session_id, session.revision, session.saved_at) for session in found]
    print_table(
        ["Session", ">Revision", "Saved at (UTC)"], rows, f"no sessions in namespace {namespace!r}"
    )


@app.command()
def show(
    url: Url,
    session: Session,
    revision: Annotated[
        str | None,
        typer.Option(
            metavar="N|LABEL", help="Number or label of a revision; by default the newest."
        ),
    ] = None,
    namespace: Namespace = "default",
    as_json: AsJson = False,
) -> None:
    """Show the state of a session at any revision.

    A value that JSON cannot represent is shown as an object with one key, such as
    {"$bytes": "aGk="}.

    For example:

        checkpoint show sqlite:///agents.db user-42 --revision 1
    """
    with _open(url, namespace) as cp:
        document = cp.document(session, revision=None if revision is None else _revision(revision))
    if as_json:
        print_json(plain(document))
        return
    text = visible(json.dumps(plain(document), indent=2, ensure_ascii=False))
    console = terminal()
    if console.is_terminal and len(text) < _COLOURED:
        console.print(JSONHighlighter()(text), soft_wrap=True)
    else:
        print(text)


@app.command()
def history(
    url: Url,
    session: Session,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="List only the newest N; by default all.")
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
        print_json([snapshot_as_dict(snapshot) for snapshot in found])
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
            "; ".join(notes(snapshot)),
        )
        for snapshot in found
    ]
    print_table(titles, rows, "no revisions")


@app.command()
def diff(
    url: Url,
    session: Session,
    old: Annotated[str, typer.Argument(metavar="OLD", help="Number or label of a revision.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Number or label of another revision.")],
    namespace: Namespace = "default",
    as_json: AsJson = False,
) -> None:
    """Show the changes from one revision to another.

    For example:

        checkpoint diff sqlite:///agents.db user-42 1 2
    """
    with _open(url, namespace) as cp:
        changes = cp.diff(session, _revision(old), _revision(new))
    if as_json:
        print_json(
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
    console = terminal()
    for change in changes:
        for line in lines(change):
            if console.is_terminal:
                line.truncate(console.width, overflow="ellipsis")
            console.print(line, soft_wrap=True)
    if not changes:
        console.print("no difference")


@app.command()
def prune(
    url: Url,
    session: Optional = None,
    keep_last: Annotated[
        int | None, typer.Option(metavar="N", help="Keep the newest N revisions.")
    ] = None,
    keep_for: Annotated[
        dt.timedelta | None,
        typer.Option(metavar="TIME", parser=_time, help="Keep revisions saved within this time."),
    ] = None,
    keep_labelled: Annotated[bool, typer.Option(help="Keep revisions that have a label.")] = True,
    ttl: Annotated[
        dt.timedelta | None,
        typer.Option(
            metavar="TIME", parser=_time, help="Delete sessions not saved within this time."
        ),
    ] = None,
    grace: Annotated[
        dt.timedelta,
        typer.Option(
            metavar="TIME", parser=_time, help="Keep unreferenced pages younger than this."
        ),
    ] = "1h",  # type: ignore[assignment]  # typer parses it
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")
    ] = False,
    namespace: Namespace = "default",
    as_json: AsJson = False,
) -> None:
    """Remove old revisions, expired sessions and unreferenced pages.

    A TIME is a number followed by s, m, h, d or w. Without --keep-last, --keep-for or --ttl, only
    unreferenced pages are removed.

    For example:

        checkpoint prune sqlite:///agents.db --keep-last 100 --keep-for 30d --dry-run
    """
    rule = None
    if keep_last is not None or keep_for is not None or ttl is not None:
        rule = Retention(
            keep_last=keep_last, keep_for=keep_for, keep_labelled=keep_labelled, ttl=ttl
        )
    with _open(url, namespace) as looking:
        next(looking.sessions(), None)  # a mistyped name is an error, and creates no file
    opened = _open(url, namespace) if dry_run else checkpoint.open(url, namespace=namespace)
    with opened as cp:
        if session is None:
            with progress("sessions pruned", silent=as_json) as advance:
                all_of_them = cp.sweep(rule, dry_run=dry_run, grace=grace)
                done = [pruned for pruned in map(advance, all_of_them) if _did(pruned)]
        else:
            pruned = cp.prune(session, rule, dry_run=dry_run, grace=grace)
            done = [pruned] if _did(pruned) else []
    _print_pruned(done, as_json=as_json)
    if any(pruned.problem for pruned in done):
        raise typer.Exit(1)


def _did(pruned: Pruned) -> bool:
    return bool(pruned.removed or pruned.pages or pruned.problem)


def _print_pruned(done: list[Pruned], *, as_json: bool) -> None:
    if as_json:
        names = ("namespace", "session_id", "removed", "revisions", "pages", "bytes", "deleted")
        print_json(
            [
                {name: getattr(pruned, name) for name in (*names, "dry_run")}
                | {"problem": str(pruned.problem) if pruned.problem else None}
                for pruned in done
            ]
        )
        return
    rows = [
        (
            pruned.session_id,
            ", ".join(map(span, pruned.removed)),
            pruned.revisions,
            pruned.pages,
            pruned.bytes,
            str(pruned.problem or ("deleted" if pruned.deleted else "")),
        )
        for pruned in done
    ]
    titles = ["Session", "Removed", ">Revisions", ">Pages", ">Bytes", "Notes"]
    print_table(titles, rows, "nothing to remove")


@app.command()
def verify(
    url: Url, session: Optional = None, namespace: Namespace = "default", as_json: AsJson = False
) -> None:
    """Check stored data for damaged and missing parts.

    The exit code is 1 if a problem was found.

    For example:

        checkpoint verify sqlite:///agents.db user-42
    """
    found: list[Problem] = []
    with _open(url, namespace) as cp:
        of = [session] if session is not None else [each.session_id for each in cp.sessions()]
        with progress("sessions verified", len(of), silent=as_json) as advance:
            for session_id in of:
                # One of all sessions may have been deleted since they were listed.
                with suppress(SessionNotFound) if session is None else nullcontext():
                    found += cp.verify(session_id)
                advance(None)
    if as_json:
        names = ("namespace", "session_id", "what", "revisions", "page", "message")
        print_json([{name: getattr(problem, name) for name in names} for problem in found])
    else:
        rows = [
            (
                problem.session_id,
                problem.what,
                ", ".join(map(span, problem.revisions)),
                problem.message,
            )
            for problem in found
        ]
        titles = ["Session", "Problem", "Revisions affected", "Details"]
        print_table(titles, rows, f"no problems in {len(of)} session{'s' * (len(of) != 1)}")
    if found:
        raise typer.Exit(1)


@app.command()
def demo(
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            callback=_check_url,
            help="Store for the session; by default a new SQLite file.",
        ),
    ] = None,
) -> None:
    """Run a demo: an agent keeps its memory across processes.

    The exit code is 1 if a turn was lost or saved twice.

    For example:

        checkpoint demo
    """
    from checkpoint.demo import play

    if not play(terminal(), store):
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
