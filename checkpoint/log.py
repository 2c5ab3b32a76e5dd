"""Logging: the standard library's, under the name ``checkpoint``, silent unless set up.

A message carries its fields twice: in the text, and as ``record.checkpoint`` (a dict) for handlers
that write structured logs. Debug messages do not import :mod:`logging`: where nobody has, nobody
listens, and a cold start has better things to do.
"""

from __future__ import annotations

import sys
from typing import Any


def debug(event: str, **fields: Any) -> None:
    """Log an ordinary event with its fields, such as ``debug("saved", session_id="a")``."""
    logging = sys.modules.get("logging")
    if logging is not None:
        logger = logging.getLogger("checkpoint")
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(_text(event, fields), extra={"checkpoint": {"event": event, **fields}})


def warning(event: str, **fields: Any) -> None:
    """Log what somebody should look at."""
    import logging

    logger = logging.getLogger("checkpoint")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # else logging prints what nobody has set up
    logger.warning(_text(event, fields), extra={"checkpoint": {"event": event, **fields}})


def _text(event: str, fields: dict[str, Any]) -> str:
    return " ".join([event, *(f"{name}={value!r}" for name, value in fields.items())])
