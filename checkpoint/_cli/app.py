"""The command line application, and the arguments shared by its commands."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote

import typer

import checkpoint
from checkpoint import Checkpointer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

# Typer's usage error has no public name; a public class derives from it.
UsageError: type[Any] = typer.BadParameter.__mro__[1]


def check_url(url: str | None) -> str | None:
    # Surrogates stand for bytes of an argument that are not UTF-8.
    if url and any(unicodedata.category(char) in ("Cc", "Cs") for char in unquote(url)):
        raise typer.BadParameter("the URL of a store must be UTF-8 without control characters")
    return url


_URL_HELP = "URL of the store, such as sqlite:///agents.db."
Url = Annotated[str, typer.Argument(metavar="URL", callback=check_url, help=_URL_HELP)]
Session = Annotated[str, typer.Argument(metavar="SESSION", help="Id of the session.")]
Namespace = Annotated[str, typer.Option(metavar="NAME", help="Namespace of the sessions.")]
Optional = Annotated[
    str | None,
    typer.Argument(metavar="[SESSION]", help="Id of the session; by default all sessions."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]


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


# --- shared by several commands ------------------------------------------------------------------


def open_to_read(url: str, namespace: str) -> Checkpointer[dict[str, Any]]:
    return checkpoint.open(_read_only(url), namespace=namespace)


def _read_only(url: str) -> str:
    """The URL that opens a SQLite file read-only, so that a mistyped name creates no file."""
    location, _, query = url.partition("?")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    if not location.lower().startswith("sqlite://") or "mode" in parameters:
        return url
    return f"{location}?{query}&mode=ro" if query else f"{location}?mode=ro"
