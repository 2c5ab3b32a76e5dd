"""Lineages: which revision a live state came from, remembered outside the state."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass

from checkpoint._ids import SessionKey
from checkpoint._records.baseline import Baseline
from checkpoint._serializer import Draft


@dataclass(slots=True)
class Lineage:
    """The origin of a live state.

    Attributes:
        key: the session it belongs to.
        known: the revision it came from; its next save is compared with it.
        pending: a save that was sent but not answered; the next save settles it first.
    """

    key: SessionKey
    known: Baseline
    pending: Draft | None = None


class IdentityMap:
    """Lineages by the identity of their state, one for each session; dropped with the state."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Callable[[], object], dict[SessionKey, Lineage]]] = {}

    def get(self, state: object, key: SessionKey) -> Lineage | None:
        """The lineage of a state in this session, if it has one."""
        return self._of(state).get(key)

    def remember(self, state: object, lineage: Lineage) -> None:
        """Remember a lineage for as long as its state lives.

        A plain dict has no weak references, so it is remembered only while a save is pending.
        """
        number, lineages = id(state), self._of(state)
        if lineages.get(lineage.key) is lineage and hasattr(state, "__weakref__"):
            return
        lineages[lineage.key] = lineage
        try:
            self._known[number] = (
                weakref.ref(state, lambda _: self._known.pop(number, None)),
                lineages,
            )
        except TypeError:
            self._known.pop(number, None)
            if lineage.pending is not None:
                self._known[number] = (lambda: state, lineages)

    def _of(self, state: object) -> dict[SessionKey, Lineage]:
        reference, lineages = self._known.get(id(state), (None, None))
        return lineages if reference and lineages and reference() is state else {}
