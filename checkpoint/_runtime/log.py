"""Logs to the standard library's logger ``checkpoint``; silent unless logging is configured.

A message carries its fields twice: in the text, and as ``record.checkpoint`` (a dict) for handlers
that write structured logs. Debug messages do not import :mod:`logging`, to keep cold starts short:
if it was never imported, no handler is listening.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logging import Logger

_DEBUG = 10  # logging.DEBUG


def is_debugging() -> bool:
    """Whether :func:`debug` has a listener; computing its fields may be expensive."""
    return "logging" in sys.modules and _logger().isEnabledFor(_DEBUG)


def debug(event: str, **fields: Any) -> None:
    """Log an event with its fields, such as ``debug("saved", session_id="a")``."""
    if is_debugging():
        _logger().debug(_text(event, fields), extra={"checkpoint": {"event": event, **fields}})


def warning(event: str, **fields: Any) -> None:
    """Log an event that needs attention."""
    logger = _logger()
    if not logger.handlers:
        import logging

        logger.addHandler(logging.NullHandler())  # otherwise logging prints to standard error
    logger.warning(_text(event, fields), extra={"checkpoint": {"event": event, **fields}})


@cache  # asked for by every turn
def _logger() -> Logger:
    import logging

    return logging.getLogger("checkpoint")


def _text(event: str, fields: dict[str, Any]) -> str:
    return " ".join([event, *(f"{name}={value!r}" for name, value in fields.items())])
