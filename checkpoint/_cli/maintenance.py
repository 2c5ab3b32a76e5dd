"""Commands that maintain a store: ``prune`` and ``verify``."""

from __future__ import annotations

import datetime as dt
import re
from contextlib import nullcontext, suppress
from typing import Annotated

import typer

import checkpoint
from checkpoint import Problem, Pruned, Retention, SessionNotFound
from checkpoint._cli.app import AsJson, Namespace, Optional, Url, app, open_to_read
from checkpoint._cli.printing import print_json, print_table, progress, span

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _parse_time(text: str) -> dt.timedelta:
    """Parse a time of the command line, such as ``30d``."""
    match = re.fullmatch(r"(\d{1,9})([smhdw])", text)
    if match is None:
        raise typer.BadParameter("a time is a number followed by s, m, h, d or w, such as 30d")
    try:
        return dt.timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError as exc:
        raise typer.BadParameter("this time is too long") from exc


@app.command()
def prune(
    url: Url,
    session: Optional = None,
    keep_last: Annotated[
        int | None, typer.Option(metavar="N", help="Keep the newest N revisions.")
    ] = None,
    keep_for: Annotated[
        dt.timedelta | None,
        typer.Option(
            metavar="TIME", parser=_parse_time, help="Keep revisions saved within this time."
        ),
    ] = None,
    keep_labelled: Annotated[bool, typer.Option(help="Keep revisions that have a label.")] = True,
    ttl: Annotated[
        dt.timedelta | None,
        typer.Option(
            metavar="TIME", parser=_parse_time, help="Delete sessions not saved within this time."
        ),
    ] = None,
    grace: Annotated[
        dt.timedelta,
        typer.Option(
            metavar="TIME", parser=_parse_time, help="Keep unreferenced pages younger than this."
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
    with open_to_read(url, namespace) as looking:
        next(looking.sessions(), None)  # a mistyped name is an error, and creates no file
    opened = open_to_read(url, namespace) if dry_run else checkpoint.open(url, namespace=namespace)
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
    with open_to_read(url, namespace) as cp:
        of = [session] if session is not None else [each.session_id for each in cp.sessions()]
        with progress("sessions verified", len(of), silent=as_json) as advance:
            for session_id in of:
                # A listed session may have been deleted since.
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
