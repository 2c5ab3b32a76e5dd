"""Flips stored bytes until they are healed."""

from __future__ import annotations

from random import Random
from typing import Any

from checkpoint._ids import SessionKey
from checkpoint.store import Record, Segment
from checkpoint.testing.simulator.operation import Operation

Part = int | bytes | str
"""A stored part: a record by revision, a page by id, or an attachment by name."""


class Rot:
    """The stored parts that have a flipped byte for all readers."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._flips: dict[tuple[SessionKey, Part], tuple[bool, float]] = {}

    def flip(self, key: SessionKey, part: Part) -> None:
        """Flip a byte."""
        in_head = self._rng.random() < 0.5
        self._flips[key, part] = in_head, self._rng.random()

    def heal(self) -> None:
        """Undo all flips."""
        self._flips.clear()

    def seen(self, name: str, arguments: tuple[Any, ...], answer: Any, by: Operation | None) -> Any:
        """The answer to a request, with flipped bytes."""
        if not self._flips:
            return answer
        key = arguments[0]
        if name == "read" and isinstance(answer, Segment):
            records = tuple(self._record(key, record, by) for record in answer.records)
            return answer._replace(records=records)
        if name == "headers":
            return [(self._record(key, record, by), size) for record, size in answer]
        if name == "pages":
            return {id: self._data(key, id, data, by) for id, data in answer.items()}
        if name == "attachments":
            return [a._replace(data=self._data(key, a.name, a.data, by)) for a in answer]
        return answer

    def _record(self, key: SessionKey, record: Record, by: Operation | None) -> Record:
        in_head, _ = self._flips.get((key, record.revision), (False, 0.0))
        if in_head:
            return record._replace(header=self._data(key, record.revision, record.header, by))
        return record._replace(body=self._data(key, record.revision, record.body, by))

    def _data(self, key: SessionKey, part: Part, data: bytes, by: Operation | None) -> bytes:
        _, place = self._flips.get((key, part), (False, None))
        if place is None or not data:  # not flipped, or not requested
            return data
        if by is not None:
            by.rotten = True
        flipped = bytearray(data)
        at = place * len(data)
        flipped[int(at)] ^= 1 << int(at % 1 * 8)
        return bytes(flipped)
