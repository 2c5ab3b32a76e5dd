"""The data that the rules need about replicas: states, edits and operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, MutableSequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from checkpoint._ids import SessionKey
from checkpoint._records.header import RecordHeader
from checkpoint._records.retention import Retention
from checkpoint._state.agent_state import AgentState
from checkpoint._state.memory import Memory

if TYPE_CHECKING:
    from checkpoint.testing.simulator.history import History, Write


class Simulated(AgentState, schema="simulated", version=1):
    """The state of the sessions; each item of the memory names the operation that added it."""

    config: dict[str, str] = {}
    memory: Memory[str] = Memory()
    cursors: dict[str, int] = {}


class Content(NamedTuple):
    """The content of a state that the rules compare: memory, number of edits, and a text."""

    items: tuple[str, ...] = ()
    edits: int = 0
    text: str = ""

    @classmethod
    def of(cls, state: Simulated) -> Content:
        edits, text = state.cursors.get("edits", 0), state.config.get("text", "")
        return cls(tuple(state.memory), edits, text)

    def __str__(self) -> str:
        text = named([self.text])
        return f"{len(self.items)} items, {named(self.items)}, after {self.edits} edits, {text!r}"

    def new_state(self) -> Simulated:
        """A new state with this content."""
        cursors = {"edits": self.edits} if self.edits else {}
        config = {"text": self.text} if self.text else {}
        return Simulated(config=config, memory=Memory(self.items), cursors=cursors)


class Seen(NamedTuple):
    """The loaded part of a state: the end of its memory, and its full length."""

    length: int
    tail: tuple[str, ...]
    edits: int
    text: str

    @classmethod
    def of(cls, state: Simulated, window: int | None = None) -> Seen:
        """The part of a state that must be loaded after a restore with this window."""
        length = len(state.memory)
        tail = state.memory[max(0, length - window) :] if window is not None else state.memory
        edits, text = state.cursors.get("edits", 0), state.config.get("text", "")
        return cls(length, tuple(tail), edits, text)

    def fits(self, content: Content | None) -> bool:
        """Whether this content contains it."""
        if content is None:
            return False
        end = content.items[len(content.items) - len(self.tail) :]
        return self == Seen(len(content.items), end, content.edits, content.text)

    def __str__(self) -> str:
        return f"{self.length} items, {named(self.tail)}, after {self.edits} edits"


def named(items: Iterable[str]) -> str:
    """Items for a message: the names of the last ones."""
    names = [item.partition(" ")[0] for item in items]
    return " ".join(names if len(names) <= 8 else [f"({len(names) - 8} more)", *names[-8:]])


class Edit(NamedTuple):
    """A deterministic change of a state.

    Attributes:
        kind: append, insert, replace, or trim (remove items at the front).
        items: the new items.
        place: where in the memory, from 0 to 1.
        text: the new text; with a leading plus, text to append; empty for no change.
    """

    kind: str
    items: tuple[str, ...]
    place: float = 0.0
    text: str = ""

    def __str__(self) -> str:
        return f"{self.kind} of {len(self.items)} items at {self.place:.2f}"

    def make(self, state: Simulated) -> None:
        """Change a state in place."""
        self._change(state.memory)
        state.cursors["edits"] = state.cursors.get("edits", 0) + 1
        if text := self._text(state.config.get("text", "")):
            state.config["text"] = text

    def of(self, content: Content) -> Content:
        """The content after the edit."""
        items = list(content.items)
        self._change(items)
        return Content(tuple(items), content.edits + 1, self._text(content.text))

    def _text(self, before: str) -> str:
        return before + self.text[1:] if self.text.startswith("+") else self.text or before

    def _change(self, items: MutableSequence[str]) -> None:
        at = int(self.place * len(items))
        if self.kind == "trim":
            del items[:at]
        if self.kind == "replace":
            items[at : at + len(self.items)] = self.items
        elif self.kind == "insert":
            for item in self.items:
                items.insert(at, item)
        else:
            items.extend(self.items)


def draw_edit(rng: Random, name: str, most: int, texts: float) -> Edit:
    """An edit whose items carry this name, short or long.

    Args:
        most: how many new items, at most.
        texts: probability that it also changes the text.
    """
    kind = rng.choices(("append", "insert", "replace", "trim"), (12, 1, 2, 3))[0]
    items = tuple(
        f"{name}.{number} {_filler(rng, rng.choices((0, 40, 300, 2000), (4, 6, 6, 1))[0])}"
        for number in range(rng.randint(1, most))
    )
    text = rng.choice(_TEXTS) if rng.random() < texts else ""
    return Edit(kind, items, rng.random() * (0.7 if kind == "trim" else 1.0), text)


def _filler(rng: Random, most: int) -> str:
    return rng.randbytes(rng.randint(0, most) // 2).hex()


_TEXTS = [
    "+ more",
    "+ and more",
    "+ still more",
    *(f"text-{n} {_filler(Random(n), 4000)}" for n in range(3)),
]
"""Few, so that earlier texts return."""


@dataclass(eq=False)
class Operation:
    """One call of a replica to its checkpointer.

    Attributes:
        number: of the operation in its run.
        replica: the name of the replica.
        kind: the name of its method, such as ``run``.
        key: the session.
        began: how many revisions each session had ever had when the operation began.
        expected: given the session's history and the header of a record, the contents that the
            operation may write there; None stands for a tombstone.
        source: the session that a fork copies.
        result: the result of a turn, if it is stored.
        rule: for removing revisions; or the revision it removes.
        labels: the labels of each session when the operation began, with their revisions.
        troubled: a fault hit one of its requests, so it may fail.
        rotten: it read flipped bytes, so it may report damage.
        last_step: its last request that writes.
        writes: its writes that took effect.
    """

    number: int
    replica: str
    kind: str
    key: SessionKey
    began: Counter[SessionKey]
    expected: Callable[[History, RecordHeader], list[Content | None]] = lambda history, header: []
    source: SessionKey | None = None
    result: Any = None
    rule: Retention | int | None = None
    labels: dict[SessionKey, dict[str, tuple[int, int]]] = field(default_factory=dict)
    troubled: bool = False
    rotten: bool = False
    last_step: str = ""
    writes: list[Write] = field(default_factory=list)

    def __str__(self) -> str:
        return f"#{self.number} {self.kind} {self.key.session_id}"


CURRENT: ContextVar[Operation | None] = ContextVar("operation", default=None)
"""The operation of the running task."""
