"""What the methods of a checkpointer are made of: loading, saving, replacing the head."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from random import random
from typing import Any, Generic, NamedTuple, TypeVar

from checkpoint import log
from checkpoint._async.commits import conflict, load, send
from checkpoint.errors import (
    CheckpointError,
    Conflict,
    InvalidOption,
    RevisionNotFound,
    SaveUnclear,
    SessionNotFound,
)
from checkpoint.hydrator import hydrate
from checkpoint.ids import SessionKey, check_id
from checkpoint.labels import read_labels
from checkpoint.options import Options
from checkpoint.origins import Lineage, Origins
from checkpoint.record import Header, Kind
from checkpoint.segment import RESULT, Loaded, Tip, survey
from checkpoint.serializer import Draft, Origin, plan, seal_base, unsaved
from checkpoint.snapshot import Snapshot
from checkpoint.store import AsyncStore
from checkpoint.waiting import async_sleep, async_value

S = TypeVar("S")

_ATTEMPTS = 20


class Begun(NamedTuple, Generic[S]):
    """What a turn starts with; ``result`` is that of an earlier delivery, when ``replayed``."""

    state: S
    agent: Any
    lineage: Lineage
    snapshot: Snapshot | None = None
    replayed: bool = False
    result: Any = None


class AsyncEngine(Generic[S]):
    """One store, one namespace, one schema."""

    def __init__(self, store: AsyncStore, options: Options[S]) -> None:
        self.store = store
        self.options = options
        self.origins = Origins()

    def key(self, session_id: str) -> SessionKey:
        return SessionKey(self.options.namespace, check_id(session_id, "session id"))

    # --- loading ---------------------------------------------------------------------------------

    async def load(self, key: SessionKey, revision: int | str | None) -> Loaded:
        """A revision by number or label, that has a state."""
        if isinstance(revision, str):
            revision = await self._labelled(key, revision)
        elif revision is not None and type(revision) is not int:
            raise InvalidOption(
                f"a revision is a number or a label, not {revision!r:.40}", **key._asdict()
            )
        loaded = await load(self.store, key, revision, self.options.max_bytes)
        if loaded is None:
            raise _missing(key)
        if loaded.header.kind is Kind.TOMBSTONE:
            raise _deleted(key)
        return loaded

    async def tip(self, key: SessionKey) -> Tip | None:
        """What is at the head, by its headers alone; None when there never was a session."""
        segment = await self.store.read(key)
        return survey(key, segment.records) if segment else None

    async def living(self, key: SessionKey) -> Tip:
        """What is at the head of a session that exists."""
        tip = await self.tip(key)
        if tip is None:
            raise _missing(key)
        if tip.header.kind is Kind.TOMBSTONE:
            raise _deleted(key)
        return tip

    async def absent(self, key: SessionKey) -> Tip | None:
        """What a new session goes on: nothing, or a tombstone; Conflict if there is a session."""
        tip = await self.tip(key)
        if tip is not None and tip.header.kind is not Kind.TOMBSTONE:
            raise conflict(key, 0, tip.header)
        return tip

    async def restore(self, key: SessionKey, loaded: Loaded) -> Begun[S]:
        """Build the state and the agent of what was loaded, and remember where they came from."""
        started = time.perf_counter()
        state, origin = hydrate(key, loaded, self.options.schema, self.options.max_bytes)
        begun = await self._begun(state, Lineage(key, origin), Snapshot.of(*key, loaded.header))
        self.options.watch.saw_restored()
        log.debug(
            "restored",
            session_id=key.session_id,
            revision=loaded.header.revision,
            writer=str(loaded.header.writer),
            bytes=loaded.tip.base_bytes + loaded.tip.patch_bytes,
            records=loaded.tip.patches + 1,
            milliseconds=round((time.perf_counter() - started) * 1000, 3),
        )
        return begun

    async def begin(
        self, key: SessionKey, turn_id: str | None, new: Callable[[], S] | None
    ) -> Begun[S]:
        """The state a turn starts with: the newest, a new one, or that which it left before."""
        schema, max_bytes = self.options.schema, self.options.max_bytes
        loaded = await load(self.store, key, None, max_bytes)
        if loaded is None or loaded.header.kind is Kind.TOMBSTONE:
            state: S = await async_value((new or schema.new)())
            origin = unsaved(key, schema, state, loaded.tip if loaded else None, max_bytes)
            return await self._begun(state, Lineage(key, origin), None)
        earlier = [w for w in loaded.tip.recent if turn_id is not None and w.turn_id == turn_id]
        if earlier and earlier[-1].revision != loaded.header.revision:
            loaded = await self.load(key, earlier[-1].revision)
        begun = await self.restore(key, loaded)
        if not earlier:
            return begun
        return begun._replace(replayed=True, result=loaded.result.get(RESULT))

    async def _begun(self, state: S, lineage: Lineage, snapshot: Snapshot | None) -> Begun[S]:
        adapter = self.options.adapter
        agent = await async_value(adapter.build(state)) if adapter else None
        self.origins.remember(agent if adapter else state, lineage)
        return Begun(state, agent, lineage, snapshot)

    async def labels(self, key: SessionKey) -> dict[str, int]:
        """Labels of a session and the revisions they name."""
        return read_labels(key, await self.store.attachments(key))

    async def _labelled(self, key: SessionKey, label: str) -> int:
        labels = await self.labels(key)
        if label not in labels:
            await self.living(key)  # a missing session is told as that
            known = ", ".join(map(repr, sorted(labels))) or "none"
            raise RevisionNotFound(
                f"it has no label {label!r}; its labels: {known}", **key._asdict()
            )
        return labels[label]

    # --- saving ----------------------------------------------------------------------------------

    async def capture(self, subject: Any) -> S:
        """The state of what a caller works with: an agent, or the state itself."""
        adapter = self.options.adapter
        state: S = await async_value(adapter.capture(subject)) if adapter else subject
        return state

    async def lineage_of(
        self, subject: object, key: SessionKey, parent: Snapshot | None
    ) -> Lineage:
        """Where a state came from: as told, as remembered, or from nowhere, as a new session's.

        Raises:
            Conflict: the session does not hold the parent; or a new one's is there already.
        """
        if parent is None:
            known = self.origins.get(subject, key)
            return known or Lineage(key, Origin(tip=await self.absent(key)))
        if (parent.namespace, parent.session_id) != key:
            raise InvalidOption(
                f"the parent is a snapshot of session {parent.session_id!r} in namespace "
                f"{parent.namespace!r}; to start another session from it, use fork()",
                **key._asdict(),
            )
        try:
            loaded = await self.load(key, parent.revision)
        except (SessionNotFound, RevisionNotFound) as exc:
            tip = await self.tip(key)
            raise conflict(key, parent.revision, tip.header if tip else None) from exc
        if loaded.header.write_id.hex() != parent.write_id:
            raise conflict(key, parent.revision, (await self.living(key)).header)
        schema, max_bytes = self.options.schema, self.options.max_bytes
        return Lineage(key, hydrate(key, loaded, schema, max_bytes)[1])

    async def save(
        self,
        state: S,
        lineage: Lineage,
        *,
        turn_id: str | None = None,
        result: dict[int, Any] | None = None,
        branch: bool = False,
    ) -> Snapshot | None:
        """Save a state as the child of its origin; None when a new one has nothing to save.

        A branch goes on the head, whatever it is; anything else only on the origin.
        """
        await self._settle(lineage)
        for attempt in range(_ATTEMPTS):
            origin = lineage.origin
            tip = await self._head_for_branch(lineage) if branch else origin.tip
            header = self.header(tip, parent=origin.tip, turn_id=turn_id)
            lineage.pending = self.plan(lineage.key, state, origin, tip, header, result)
            try:
                await self._settle(lineage, planned=True)
                break
            except Conflict:
                if not branch or attempt + 1 == _ATTEMPTS:
                    raise
            await async_sleep(_pause(attempt))
        saved = lineage.origin.saved
        return Snapshot.of(*lineage.key, saved) if saved else None

    async def _head_for_branch(self, lineage: Lineage) -> Tip | None:
        mine = lineage.origin.tip
        if lineage.origin.saved is None or mine is None:
            return mine
        head = await self.tip(lineage.key)
        if head is None or head.header.kind is Kind.TOMBSTONE:
            raise conflict(lineage.key, mine.header.revision, None)
        return mine if head.header.write_id == mine.header.write_id else head

    async def _settle(self, lineage: Lineage, *, planned: bool = False) -> None:
        """Send the pending save, if there is one, until it is stored or refused.

        It stays pending through all else: an unclear answer, a cancellation, a signal; and when
        it was pending before, through any failure of the store.

        Args:
            planned: it was made just now, so a failure to write it means that it is not written.
        """
        if (draft := lineage.pending) is None:
            return
        try:
            await self._send(lineage.key, draft, sent_before=not planned)
        except SaveUnclear:
            raise
        except CheckpointError as exc:
            if lineage.pending is draft and (planned or isinstance(exc, Conflict)):
                lineage.pending = None
            raise
        if lineage.pending is draft:  # another task may have settled it, and gone on
            if lineage.origin.saved is None:
                self.options.watch.saw_created(lineage.key.session_id)
            lineage.origin, lineage.pending = draft.origin, None

    def header(
        self,
        tip: Tip | None,
        *,
        parent: Tip | None = None,
        turn_id: str | None = None,
        source: tuple[str, int] | None = None,
    ) -> Header:
        """The header of a new record on ``tip``, made from ``parent`` (from the tip, if None)."""
        parent = parent or tip
        return Header(
            revision=tip.header.revision + 1 if tip else 1,
            kind=Kind.BASE,
            write_id=os.urandom(16),
            saved_at=time.time_ns() // 1000,
            writer=self.options.writer(),
            schema=self.options.schema.id,
            parent_revision=parent.header.revision if parent else 0,
            parent_write_id=parent.header.write_id if parent else b"",
            parent_digest=parent.digest if parent else b"",
            turn_id=turn_id,
            source=source,
        )

    def plan(
        self,
        key: SessionKey,
        state: S,
        origin: Origin,
        tip: Tip | None,
        header: Header,
        result: dict[int, Any] | None = None,
    ) -> Draft | None:
        """:func:`checkpoint.serializer.plan`, with this engine's schema and limit."""
        return plan(
            key,
            self.options.schema,
            state,
            header,
            origin=origin,
            tip=tip,
            result=result,
            max_bytes=self.options.max_bytes,
        )

    async def replace_head(
        self, key: SessionKey, draft: Callable[[Tip | None], Draft | None]
    ) -> Draft | None:
        """Put what ``draft`` makes of the head on it, whatever it is; again after each conflict.

        Returns the draft that was stored; None when there was nothing to do.
        """
        attempt = 0
        while (sealed := draft(await self.tip(key))) is not None:
            try:
                await self._send(key, sealed)
                break
            except Conflict:
                attempt += 1
                if attempt == _ATTEMPTS:
                    raise
            await async_sleep(_pause(attempt))
        return sealed

    async def copy(
        self, key: SessionKey, loaded: Loaded, source: tuple[str, int], tip: Tip | None
    ) -> Snapshot:
        """Save another revision's document as it is, in its own schema, on a segment."""
        header = self.header(tip, source=source)._replace(schema=loaded.header.schema)
        max_bytes = self.options.max_bytes
        draft = seal_base(key, header, loaded.document, loaded.fields, tip, max_bytes)
        await self._send(key, draft)
        return Snapshot.of(*key, draft.tip.header)

    async def _send(self, key: SessionKey, draft: Draft, *, sent_before: bool = False) -> None:
        started = time.perf_counter()
        await send(self.store, key, draft, sent_before=sent_before)
        log.debug(
            "saved",
            session_id=key.session_id,
            revision=draft.record.revision,
            writer=str(draft.tip.header.writer),
            bytes=len(draft.record.head) + len(draft.record.body),
            milliseconds=round((time.perf_counter() - started) * 1000, 3),
        )


def _pause(attempt: int) -> float:
    """Seconds to wait after a lost race, the first short, with jitter."""
    return float(min(0.002 * 2**attempt, 0.25) * random())


def _missing(key: SessionKey) -> SessionNotFound:
    return SessionNotFound("no session of this id was ever saved", **key._asdict())


def _deleted(key: SessionKey) -> SessionNotFound:
    return SessionNotFound("it was deleted; a save creates it anew", **key._asdict())
