"""``checkpoint``, the console script: runs the command line, and prints errors as one message."""

from __future__ import annotations

import io
import os
import sys

from checkpoint._stores.registry import redact
from checkpoint.errors import CheckpointError

INTERRUPTED = 130  # what a shell reports after Ctrl-C
_DEEP = 10_000  # recursion limit for printing the deepest document that a store may contain


def main() -> int:
    """Run the command line on ``sys.argv``.

    Returns:
        The exit code: 0; 1 for an error or a failed demo; 2 for wrong usage or a missing extra.
    """
    if isinstance(
        sys.stdout, io.TextIOWrapper
    ):  # characters that a terminal cannot show are escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run()
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as exc:  # from printing: errors of a store are handled in _run()
        # Buffered output must not be written again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        gone = isinstance(exc, BrokenPipeError)  # the reader has closed the pipe, as in `| head`
        return 1 if gone else _fail(str(exc), 1)
    return code


def _run() -> int:
    try:
        from typer import Abort

        from checkpoint._cli.app import UsageError
        from checkpoint._cli.commands import app
    except ModuleNotFoundError as exc:
        if exc.name not in ("rich", "typer"):
            raise
        return _fail("the command line needs an extra: pip install 'agent-checkpoint[cli]'", 2)
    sys.setrecursionlimit(_DEEP)
    try:
        return app(prog_name="checkpoint", standalone_mode=False) or 0
    except Abort:
        return INTERRUPTED
    except UsageError as exc:
        message = exc.format_message()
        hint = f"\nTry: {exc.ctx.command_path} --help" if message and exc.ctx else ""
        return _fail(message + hint, 2)
    except CheckpointError as exc:
        return _fail(str(exc), 1)


def _fail(message: str, code: int) -> int:
    if message:  # empty if the help was shown instead
        print(f"checkpoint: {_without_secrets(message)}", file=sys.stderr)
    return code


def _without_secrets(message: str) -> str:
    """A message without the passwords of URLs among the command line arguments."""
    for argument in sys.argv[1:]:
        for value in (argument, argument.partition("=")[2]):
            shown = redact(value)
            if shown != value:
                message = message.replace(value, shown)
                message = message.replace(repr(value)[1:-1], repr(shown)[1:-1])
    return message


if __name__ == "__main__":
    sys.exit(main())
