"""Logs to the standard library's logger ``checkpoint``; silent unless logging is configured.

A message carries its fields twice: in the text, and as ``record.checkpoint`` (a dict) for handlers
that write structured logs. Debug messages do not import :mod:`logging`, to keep cold starts short:
if it was never imported, no handler is listening.
"""

from __future__ import annotations

import sys
from typing import Any


def is_debugging() -> bool:
    """Whether :func:`debug` has a listener; computing its fields may be expensive."""
    logging = sys.modules.get("logging")
    return logging is not None and logging.getLogger("checkpoint").isEnabledFor(logging.DEBUG)


def debug(event: str, **fields: Any) -> None:
    """Log an event with its fields, such as ``debug("saved", session_id="a")``."""
    if is_debugging():
        import logging

        extra = {"checkpoint": {"event": event, **fields}}
        logging.getLogger("checkpoint").debug(_text(event, fields), extra=extra)


def warning(event: str, **fields: Any) -> None:
    """Log an event that needs attention."""
    import logging

    logger = logging.getLogger("checkpoint")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # otherwise logging prints to standard error
    logger.warning(_text(event, fields), extra={"checkpoint": {"event": event, **fields}})


def _text(event: str, fields: dict[str, Any]) -> str:
    return " ".join([event, *(f"{name}={value!r}" for name, value in fields.items())])
