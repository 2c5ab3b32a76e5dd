"""Changes: the differences between two revisions, in readable form."""

from dataclasses import dataclass
from typing import Any

from checkpoint._document.diff import DELETE, SPLICE, Patch
from checkpoint._document.paths import format_path


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two revisions.

    Attributes:
        kind: ``"set"``, ``"delete"`` or ``"splice"``.
        path: where, such as ``memory`` or ``config.model``.
        value: the new value; for a splice, the inserted items.
        start, deleted: for a splice, its first index and the number of removed items.

    Example:
        >>> print(Change("splice", "memory", ["hi"], start=4))
        memory[4]: +1
    """

    __module__ = "checkpoint"

    kind: str
    path: str
    value: Any = None
    start: int = 0
    deleted: int = 0

    def __str__(self) -> str:
        if self.kind == "delete":
            return f"{self.path}: removed"
        if self.kind == "set":
            return f"{self.path} = {self.value!r:.80}"
        counts = [f"-{self.deleted}"] if self.deleted else []
        counts += [f"+{len(self.value)}"] if self.value else []
        return f"{self.path}[{self.start}]: {' '.join(counts)}"


def changes_of(patch: Patch) -> list[Change]:
    """Convert a patch to changes."""
    changes = []
    for code, path, *rest in patch:
        at = format_path(path)
        if code == DELETE:
            changes.append(Change("delete", at))
        elif code == SPLICE:
            start, deleted, items = rest
            changes.append(Change("splice", at, items, start, deleted))
        else:
            changes.append(Change("set", at, rest[0]))
    return changes
