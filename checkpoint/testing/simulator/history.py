"""The history of each session, and the error for a broken rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from checkpoint._ids import SessionKey
from checkpoint._records.header import RecordHeader
from checkpoint.testing.simulator.operation import Content, Operation


class Violation(AssertionError):
    """A broken rule.

    Attributes:
        rule: the name of the rule.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule


def broken(rule: str, message: str) -> NoReturn:
    """Raise a violation."""
    raise Violation(rule, message)


class Write(NamedTuple):
    """A committed record; ``content`` is None for a tombstone."""

    header: RecordHeader
    content: Content | None
    operation: Operation | None

    def __str__(self) -> str:
        return f"revision {self.header.revision} (write {self.header.write_id.hex()[:6]})"


@dataclass
class History:
    """All revisions that a session has ever had, including removed ones.

    Attributes:
        writes: the revisions, from the first.
        removed: the numbers of removed revisions.
        labels: for each attachment, the revision it names, and a unique number of the attachment.
        forgotten: the session may have forgotten writes up to this revision, because a header was
            damaged when a base was written.
    """

    key: SessionKey
    writes: list[Write] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)
    labels: dict[str, tuple[int, int]] = field(default_factory=dict)
    forgotten: int = 0

    @property
    def head(self) -> Write | None:
        return self.writes[-1] if self.writes else None

    @property
    def alive(self) -> bool:
        """Whether the session exists."""
        return self.head is not None and self.head.content is not None

    def at(self, revision: int) -> Write | None:
        return self.writes[revision - 1] if 1 <= revision <= len(self.writes) else None

    def kept(self) -> Iterator[Write]:
        """The revisions that must be readable."""
        for write in self.writes:
            if write.content is not None and write.header.revision not in self.removed:
                yield write

    def since(self, began: int) -> list[Write]:
        """The revisions that have been the newest since there were ``began`` of them."""
        return self.writes[max(began - 1, 0) :]

    def was_absent(self, began: int) -> bool:
        """Whether the session was absent at some time since there were ``began`` revisions."""
        return began == 0 or any(write.content is None for write in self.since(began))

    def remembers(self, write: Write) -> bool:
        """Whether the session must still know this write."""
        return write.header.revision > self.forgotten

    def turns(self) -> list[Write]:
        """The turns not forgotten since the session was last created, oldest first."""
        found: list[Write] = []
        for write in reversed(self.writes[self.forgotten :]):
            if write.content is None:
                break
            if write.header.turn_id is not None:
                found.append(write)
        return found[::-1]
