"""Commands that inspect sessions: ``sessions``, ``show``, ``history`` and ``diff``."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.highlighter import JSONHighlighter

from checkpoint._cli.app import AsJson, Namespace, Session, Url, app, open_to_read
from checkpoint._cli.printing import (
    lines,
    notes,
    print_json,
    print_table,
    snapshot_as_dict,
    terminal,
    to_json,
    visible,
)

# Longer states, in characters, are printed without colours, which would take rich seconds.
_COLOURED = 100_000


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
    with open_to_read(url, namespace) as cp:
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
    with open_to_read(url, namespace) as cp:
        document = cp.document(
            session, revision=None if revision is None else _parse_revision(revision)
        )
    if as_json:
        print_json(to_json(document))
        return
    text = visible(json.dumps(to_json(document), indent=2, ensure_ascii=False))
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
    with open_to_read(url, namespace) as cp:
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
    with open_to_read(url, namespace) as cp:
        changes = cp.diff(session, _parse_revision(old), _parse_revision(new))
    if as_json:
        print_json(
            [
                {
                    "kind": change.kind,
                    "path": change.path,
                    "start": change.start,
                    "deleted": change.deleted,
                    "value": to_json(change.value),
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


def _parse_revision(text: str) -> int | str:
    """A revision number if the text is one, otherwise a label."""
    return int(text) if text.isdecimal() and len(text) < 20 else text
