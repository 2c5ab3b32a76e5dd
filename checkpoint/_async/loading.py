"""Loading: revisions, documents, and the states and agents that are built of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from checkpoint._async.commits import conflict, load
from checkpoint._async.paging import PagesGone, fetch
from checkpoint._document.codec import decode, encode
from checkpoint._document.pages import PageData, PageRef
from checkpoint._hydrator import check_window, hydrate, wanted, whole_document
from checkpoint._ids import SessionKey, check_id
from checkpoint._records.baseline import Baseline, Tip
from checkpoint._records.body import RESULT
from checkpoint._records.header import Kind, Recent
from checkpoint._records.labels import read_labels
from checkpoint._records.segment import read, survey
from checkpoint._runtime import log
from checkpoint._runtime.adapter import AsyncAdapter
from checkpoint._runtime.lineage import IdentityMap, Lineage
from checkpoint._runtime.options import Options
from checkpoint._runtime.waiting import async_value
from checkpoint._serializer import unsaved
from checkpoint._state.page_loader import PageLoader
from checkpoint.errors import (
    Damaged,
    InvalidOption,
    InvalidState,
    RevisionNotFound,
    RevisionPruned,
    SessionNotFound,
    StateTooLarge,
)
from checkpoint.store import AsyncStore

S = TypeVar("S")


class Begun(NamedTuple, Generic[S]):
    """What a turn starts with.

    Attributes:
        agent: what ``build`` made of the state; without an adapter, the state itself.
        result: of an earlier delivery of the turn, when ``replayed``.
    """

    state: S
    agent: Any
    lineage: Lineage
    replayed: bool = False
    result: Any = None


class AsyncLoader(Generic[S]):
    """Reads the sessions of one store, one namespace, one schema."""

    def __init__(self, store: AsyncStore, options: Options[S]) -> None:
        self.store = store
        self.options = options
        self.lineages = IdentityMap()

    def key(self, session_id: str) -> SessionKey:
        return SessionKey(self.options.namespace, check_id(session_id, "session id"))

    async def load(self, key: SessionKey, revision: int | str | None) -> Baseline:
        """A revision by number or label, that has a state."""
        if isinstance(revision, str):
            revision = await self._labelled(key, revision)
        elif revision is not None and type(revision) is not int:
            raise InvalidOption(f"a revision is a number or a label, not {revision!r:.40}").at(key)
        loaded = await self._load(key, revision)
        if loaded is None:
            raise _missing(key)
        if loaded.header.kind is Kind.TOMBSTONE:
            raise _deleted(key)
        return loaded

    async def _load(self, key: SessionKey, revision: int | None = None) -> Baseline | None:
        """A revision by its number, or the newest, from the cache if it is there still."""
        cache = self.options.cache
        known = cache.get(key) if revision is None else None
        loaded = await load(self.store, key, revision, self.options.limits, known)
        if revision is None and loaded is not known:
            cache.put(key, loaded) if loaded else cache.drop(key)
        return loaded

    async def document(self, key: SessionKey, revision: int | str | None) -> Any:
        """A revision as plain data, whatever its schema, with all its pages."""
        while True:
            loaded = await self.load(key, revision)
            pages = dict(loaded.pages)
            try:
                await self._fetch(key, loaded, wanted(loaded), pages)
            except PagesGone:
                continue
            return whole_document(loaded, pages)

    async def _fetch(
        self,
        key: SessionKey,
        known: Baseline,
        refs: Sequence[PageRef],
        pages: dict[bytes, PageData],
    ) -> None:
        limits, revision = self.options.limits, known.header.revision
        await fetch(self.store, key, refs, pages, limits, revision, known.end.epoch)

    async def tip(self, key: SessionKey) -> Tip | None:
        """What is at the head; None when there never was a session.

        By its headers alone, where the rest is damaged or too large: such a session can still be
        overwritten, rolled back and deleted.
        """
        if (segment := await self.store.read(key)) is None:
            return None
        try:
            return read(key, segment.records, self.options.limits, epoch=segment.head.epoch).tip
        except (Damaged, InvalidState, StateTooLarge):
            return survey(key, segment)

    async def require_session(self, key: SessionKey) -> Tip:
        """What is at the head of a session that exists."""
        tip = await self.tip(key)
        if tip is None:
            raise _missing(key)
        if tip.header.kind is Kind.TOMBSTONE:
            raise _deleted(key)
        return tip

    async def require_absent(self, key: SessionKey) -> Tip | None:
        """What a new session goes on: nothing, or a tombstone; Conflict if there is a session."""
        tip = await self.tip(key)
        if tip is not None and tip.header.kind is not Kind.TOMBSTONE:
            raise conflict(key, 0, tip.header)
        return tip

    async def begin(
        self,
        key: SessionKey,
        revision: int | str | None = None,
        *,
        adapter: AsyncAdapter[S, Any] | None,
        window: int | None = None,
        turn_id: str | None = None,
        new: Callable[[], S] | None = None,
    ) -> Begun[S]:
        """The state and the agent of a revision, or of the newest; or what a turn starts with.

        Args:
            adapter: builds the agent; None where the state takes its place.
            turn_id: of a turn that may have been saved before: then the state as it left it.
            new: makes the first state of a session that has none; None where it must have one.
        """
        check_window(window, self.options.schema)
        while True:
            known = await (self.load(key, revision) if new is None else self._load(key))
            if known is None or known.saved is None:
                assert new is not None
                state: S = await async_value(new())
                first = unsaved(key, self.options.schema, state, known.tip if known else None)
                return await self._begun(state, Lineage(key, first), adapter)
            earlier = [w for w in known.end.recent if turn_id is not None and w.turn_id == turn_id]
            result = known.result
            try:
                if earlier and earlier[-1].revision != known.header.revision:
                    known, result = await self._left_by(key, earlier[-1], known)
                begun = await self._restored(key, known, adapter, window)
            except PagesGone:
                continue
            if not earlier:
                return begun
            # A copy: what is kept in the cache must not be changed by a caller.
            return begun._replace(replayed=True, result=decode(encode(result.get(RESULT))))

    async def _restored(
        self,
        key: SessionKey,
        known: Baseline,
        adapter: AsyncAdapter[S, Any] | None,
        window: int | None,
    ) -> Begun[S]:
        """Build the state and the agent of a revision, and remember where they came from."""
        started = time.perf_counter()
        memories = () if window is None else self.options.schema.memories
        pages = dict(known.pages)
        needed = wanted(known, memories, window or 0)
        refs = [ref for ref in needed if ref.id not in pages]
        known = known._replace(pages=pages)
        if refs:
            await self._fetch(key, known, needed, pages)
            self.options.cache.put_pages(key, known)
        state, known = self.hydrate(key, known, window)
        begun = await self._begun(state, Lineage(key, known), adapter)
        self.options.watch.saw_restored()
        if log.is_debugging():
            log.debug(
                "restored",
                session_id=key.session_id,
                revision=known.header.revision,
                writer=str(known.header.writer),
                bytes=known.end.base_bytes + known.end.patch_bytes,
                records=known.end.patches + 1,
                pages=len(refs),
                milliseconds=round((time.perf_counter() - started) * 1000, 3),
            )
        return begun

    def hydrate(
        self, key: SessionKey, known: Baseline, window: int | None = None
    ) -> tuple[S, Baseline]:
        """Build a state from a revision whose pages were fetched; its baseline too."""
        schema, items = self.options.schema, self.options.cache.known_items
        state, known = hydrate(key, known, schema, window, self.page_loader(key, known), items)
        if known.header.schema != schema.id:  # new fields of the model are no change of the state
            known = unsaved(key, schema, state, known.tip, known)
        return state, known

    def page_loader(self, key: SessionKey, known: Baseline) -> PageLoader:
        """Where a memory gets the items from that its state was restored without."""

        async def fetch_later(refs: Sequence[PageRef], pages: dict[bytes, PageData]) -> None:
            try:
                await self._fetch(key, known, refs, pages)
            except PagesGone as exc:
                raise RevisionPruned(
                    "the items asked for were removed after this state was restored; restore the "
                    "session again"
                ).at(key, known.header.revision) from exc

        return PageLoader(key, known.header.revision, known.pages, fetch_later)

    async def _left_by(
        self, key: SessionKey, turn: Recent, newest: Baseline
    ) -> tuple[Baseline, dict[int, Any]]:
        """The revision that a turn left, and its result; the newest, where that was removed."""
        try:
            loaded = await self.load(key, turn.revision)
        except RevisionPruned:
            if turn.result == b"":  # too long for the ring: gone with its revision
                raise
            return newest, {} if turn.result is None else {RESULT: decode(turn.result)}
        return loaded, loaded.result

    async def _begun(
        self, state: S, lineage: Lineage, adapter: AsyncAdapter[S, Any] | None
    ) -> Begun[S]:
        agent = await async_value(adapter.build(state)) if adapter else state
        self.lineages.remember(agent, lineage)
        return Begun(state, agent, lineage)

    async def labels(self, key: SessionKey) -> dict[str, int]:
        """Labels of a session and the revisions they name."""
        return read_labels(key, await self.store.attachments(key))

    async def _labelled(self, key: SessionKey, label: str) -> int:
        labels = await self.labels(key)
        if label not in labels:
            await self.require_session(key)  # a missing session is told as that
            known = ", ".join(map(repr, sorted(labels))) or "none"
            raise RevisionNotFound(f"it has no label {label!r}; its labels: {known}").at(key)
        return labels[label]


def _missing(key: SessionKey) -> SessionNotFound:
    return SessionNotFound("no session of this id was ever saved").at(key)


def _deleted(key: SessionKey) -> SessionNotFound:
    return SessionNotFound("it was deleted; a save creates it anew").at(key)
