"""What happened in a run, line by line, and a digest by which two runs are compared."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b


class Trace:
    """Lines with the time of each.

    Args:
        now: seconds since the run began.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.lines: list[str] = []
        self._now = now

    def add(self, who: str, what: str) -> None:
        """Note that something happened."""
        self.lines.append(f"{self._now():12.3f}  {who:<12} {what}")

    def digest(self) -> str:
        """The same for two runs in which the same happened at the same times."""
        return blake2b("\n".join(self.lines).encode(), digest_size=16).hexdigest()
