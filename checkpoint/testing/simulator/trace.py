"""The trace of a run, with a digest for comparing runs."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from checkpoint.store import Attachment, Commit, Pruning, Segment


class Trace:
    """Timestamped lines.

    Args:
        now: seconds since the run began.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.lines: list[str] = []
        self._now = now

    def add(self, who: str, what: str) -> None:
        """Add a line."""
        self.lines.append(f"{self._now():12.3f}  {who:<12} {what}")

    def digest(self) -> str:
        """A digest of all lines, equal for identical runs."""
        return blake2b("\n".join(self.lines).encode(), digest_size=16).hexdigest()


def described(name: str, arguments: tuple[Any, ...], answer: Any) -> str:
    """Describe a request and its answer in one line."""
    match name, *arguments:
        case "commit", key, Commit() as commit:
            parent = commit.parent.hex()[:6] if commit.parent else "nothing"
            done = "done" if answer else "refused"
            what = "tombstone" if commit.head.deleted else "revision"
            return (
                f"{key.session_id}: {what} {commit.record.revision} as "
                f"{commit.head.write_id.hex()[:6]} on {parent} in epoch {commit.head.epoch}: {done}"
            )
        case "read", key, *_:
            found = "nothing"
            if isinstance(answer, Segment):
                numbers = [record.revision for record in answer.records]
                found = f"{numbers[:1]}…{numbers[-1:]} of {answer.head.revision}"
            return f"{key.session_id}, {arguments[1:]}: {found} "
        case "prune", key, Pruning() as pruning:
            done = "done" if answer else "refused"
            return f"{key.session_id}: {list(pruning.remove)} to {pruning.head.epoch}: {done}"
        case "put_pages", key, pages:
            return f"{key.session_id}: {[page.id.hex()[:6] for page in pages]}"
        case (("pages" | "drop_pages"), key, ids):
            return f"{key.session_id}: {[id.hex()[:6] for id in ids]}"
        case "attach", key, Attachment() as attachment:
            return f"{key.session_id}: {attachment.revision} {attachment.name!r}"
        case _:
            return " ".join(str(argument) for argument in arguments)
