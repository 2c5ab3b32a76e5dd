"""Paths in a document, formatted for people: ``memory[17].role``."""

from __future__ import annotations

from collections.abc import Iterable


def format_path(keys: Iterable[object]) -> str:
    """Format keys and indices as one path.

    Example:
        >>> format_path(["memory", 17, "tool calls", "id"])
        "memory[17]['tool calls'].id"
    """
    path = ""
    for key in keys:
        if isinstance(key, str) and key.isidentifier():
            path += f".{key}" if path else key
        else:
            path += f"[{_shown(key)}]"
    return path or "the state itself"


def _shown(key: object) -> str:
    try:
        return f"{key!r:.60}"
    except ValueError:  # an integer with more digits than Python formats
        return type(key).__name__
