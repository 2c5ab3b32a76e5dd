"""The revisions that each session ever had, and how a broken rule is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from checkpoint._ids import SessionKey
from checkpoint._records.header import RecordHeader
from checkpoint.testing.simulator.operation import Content, Operation


class Violation(AssertionError):
    """A promise that was broken.

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
    """A record that was committed; ``content`` is None for a tombstone."""

    header: RecordHeader
    content: Content | None
    operation: Operation | None

    def __str__(self) -> str:
        return f"revision {self.header.revision} (write {self.header.write_id.hex()[:6]})"


@dataclass
class History:
    """All revisions of a session that ever were, and which of them were taken out again.

    Attributes:
        writes: the revisions, from the first.
        removed: the numbers of those that are gone.
        labels: for each attachment, the revision it names, and a number of that attachment's own.
        forgotten: up to here, writes may be forgotten: a header was damaged when a base was made.
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
        """Whether there is a session."""
        return self.head is not None and self.head.content is not None

    def at(self, revision: int) -> Write | None:
        return self.writes[revision - 1] if 1 <= revision <= len(self.writes) else None

    def kept(self) -> Iterator[Write]:
        """The revisions that must be readable."""
        for write in self.writes:
            if write.content is not None and write.header.revision not in self.removed:
                yield write

    def since(self, began: int) -> list[Write]:
        """What was the newest revision at some time since there were ``began`` of them."""
        return self.writes[max(began - 1, 0) :]

    def was_absent(self, began: int) -> bool:
        """Whether there was no session at some time since there were ``began`` revisions."""
        return began == 0 or any(write.content is None for write in self.since(began))

    def remembers(self, write: Write) -> bool:
        """Whether the session must know of a write of it, if it was recent."""
        return write.header.revision > self.forgotten

    def turns(self) -> list[Write]:
        """The turns since the session was created (anew) that are not forgotten, oldest first."""
        found: list[Write] = []
        for write in reversed(self.writes[self.forgotten :]):
            if write.content is None:
                break
            if write.header.turn_id is not None:
                found.append(write)
        return found[::-1]
