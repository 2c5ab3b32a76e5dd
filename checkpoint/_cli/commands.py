"""The command line: inspect a store, remove old data from it, and run the demo.

The commands use the public API. They read sessions of any schema, and never create a store. With
``--json`` they print one JSON document.
"""

from __future__ import annotations

from typing import Annotated

import typer

from checkpoint._cli import inspection, maintenance  # noqa: F401 - each adds its commands
from checkpoint._cli.app import app, check_url
from checkpoint._cli.printing import terminal

__all__ = ["app"]


@app.command()
def demo(
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            callback=check_url,
            help="Store for the session; by default a new SQLite file.",
        ),
    ] = None,
) -> None:
    """Run a demo: an agent keeps its memory across processes.

    The exit code is 1 if a turn was lost or saved twice.

    For example:

        checkpoint demo
    """
    from checkpoint._cli.demo import play

    if not play(terminal(), store):
        raise typer.Exit(1)
