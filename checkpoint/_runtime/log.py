"""Logging: the standard library's, under the name ``checkpoint``, silent unless set up.

A message carries its fields twice: in the text, and as ``record.checkpoint`` (a dict) for handlers
that write structured logs. Debug messages do not import :mod:`logging`: where nobody has, nobody
listens, and a cold start has better things to do.
"""

from __future__ import annotations

import sys
from typing import Any


def is_debugging() -> bool:
    """Whether somebody listens to :func:`debug`: its fields may cost more than what they are of."""
    logging = sys.modules.get("logging")
    return logging is not None and logging.getLogger("checkpoint").isEnabledFor(logging.DEBUG)


def debug(event: str, **fields: Any) -> None:
    """Log an ordinary event with its fields, such as ``debug("saved", session_id="a")``."""
    if is_debugging():
        import logging

        extra = {"checkpoint": {"event": event, **fields}}
        logging.getLogger("checkpoint").debug(_text(event, fields), extra=extra)


def warning(event: str, **fields: Any) -> None:
    """Log what somebody should look at."""
    import logging

    logger = logging.getLogger("checkpoint")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # else logging prints what nobody has set up
    logger.warning(_text(event, fields), extra={"checkpoint": {"event": event, **fields}})


def _text(event: str, fields: dict[str, Any]) -> str:
    return " ".join([event, *(f"{name}={value!r}" for name, value in fields.items())])
