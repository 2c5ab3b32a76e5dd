"""A state machine: sessions on SQLite and in memory go through the same, and a plain model says so.

The model is a list of documents for each session, so that what both stores share is checked too.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

import checkpoint
from checkpoint import Checkpointer, CheckpointError, Conflict, Snapshot
from tests.effort import steps

Document = dict[str, Any]

RING = 32  # turns that are remembered, at least

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
)
values = st.recursive(
    scalars | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
names = st.sampled_from(["user-42", "User-42", "😀", "a/b"])
fields = st.sampled_from(["memory", "config", "cursors"])
turn_ids = st.none() | st.sampled_from(["message-1", "message-2", "message-3"])


@dataclass
class Expected:
    """What a session must hold: the document of each revision that can be restored."""

    documents: dict[int, Document] = field(default_factory=dict)
    newest: int = 0
    deleted: bool = True
    turns: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)

    def saved(self, document: Document) -> None:
        self.newest += 1
        self.deleted = False
        self.documents[self.newest] = copy.deepcopy(document)

    def removed(self) -> None:
        self.newest += 1
        self.deleted = True
        self.documents.clear()
        self.labels.clear()
        self.turns.clear()

    def replays(self, turn_id: str | None) -> bool:
        """Whether this turn was saved, and as lately as turns are remembered."""
        return turn_id is not None and self.newest - self.turns.get(turn_id, -RING - 1) <= RING

    def current(self) -> Document | None:
        return None if self.deleted else self.documents[self.newest]


@dataclass
class Held:
    """A state somebody restored and still holds, of each store, and the revision it came from."""

    session_id: str
    states: list[Document]
    revision: int


def edit(document: Document, name: str, value: Any, how: str) -> None:
    """Change a document in place, as an agent does in a turn."""
    if how == "append":
        items = document.setdefault(name, [])
        if isinstance(items, list):
            items.append(value)
    elif how == "remove":
        document.pop(name, None)
    else:
        document[name] = value


edits = st.tuples(fields, values, st.sampled_from(["append", "append", "append", "set", "remove"]))


def told(call: Callable[[], Any]) -> Any:
    """What a call returned or raised, as far as it is the same for two stores."""
    try:
        return comparable(call())
    except Conflict as exc:
        numbers = (exc.session_id, exc.parent_revision, exc.current_revision)
        return (type(exc), *numbers, exc.writer)
    except CheckpointError as exc:
        return type(exc), str(exc)


def comparable(value: Any) -> Any:
    if isinstance(value, Snapshot):
        given = {name: getattr(value, name) for name in Snapshot.__match_args__}
        return {**given, "write_id": len(value.write_id), "saved_at": None}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return value


class ApiModel(RuleBasedStateMachine):
    """Every rule does the same to both checkpointers, compares them, and then the model."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self._dir = tempfile.TemporaryDirectory()
        path = Path(self._dir.name) / "sessions.db"
        self._cps = [checkpoint.open("memory://"), checkpoint.open(f"sqlite:///{path}")]
        self._expected: dict[str, Expected] = {}

    def teardown(self) -> None:
        for cp in self._cps:
            cp.close()
        self._dir.cleanup()

    def _session(self, session_id: str) -> Expected:
        return self._expected.setdefault(session_id, Expected())

    def _both(self, call: Callable[[Checkpointer[Document]], Any]) -> Any:
        first, second = (told(lambda cp=cp: call(cp)) for cp in self._cps)  # type: ignore[misc]
        assert second == first
        return first

    # --- saving ----------------------------------------------------------------------------------

    @rule(session_id=names, change=edits, turn_id=turn_ids)
    def turn(self, session_id: str, change: tuple[str, Any, str], turn_id: str | None) -> None:
        session = self._session(session_id)
        before = session.current() or {}

        def take(cp: Checkpointer[Document]) -> tuple[int, bool, Document]:
            with cp.turn(session_id, turn_id=turn_id) as turn:
                if not turn.replayed:
                    edit(turn.state, *copy.deepcopy(change))
            return turn.revision, turn.replayed, dict(turn.state)

        revision, replayed, state = self._both(take)
        assert replayed or not session.replays(turn_id)
        if replayed:
            assert turn_id is not None
            assert revision == session.turns[turn_id]
            assert state == session.documents[revision]
            return
        expected = copy.deepcopy(before)
        edit(expected, *change)
        assert state == expected
        if repr(expected) != repr(before):
            session.saved(expected)
            if turn_id is not None:
                session.turns[turn_id] = session.newest
        assert revision == (0 if session.deleted else session.newest)

    @rule(session_id=names, change=edits, turn_id=turn_ids)
    def run(self, session_id: str, change: tuple[str, Any, str], turn_id: str | None) -> None:
        session = self._session(session_id)
        expected = copy.deepcopy(session.current() or {})
        edit(expected, *change)

        def apply(state: Document) -> list[str]:
            edit(state, *copy.deepcopy(change))
            return list(state)

        result = self._both(lambda cp: cp.run(session_id, apply, turn_id=turn_id))
        head = told(lambda: self._cps[0].restore(session_id).revision)
        if isinstance(head, int) and head > session.newest:
            session.saved(expected)
            assert result == list(expected)
            if turn_id is not None:
                session.turns[turn_id] = session.newest

    @rule(target=held, session_id=names, back=st.integers(0, 4))
    def hold(self, session_id: str, back: int) -> Held:
        session = self._session(session_id)
        revision = max(session.newest - back, min(session.documents, default=0))
        if revision not in session.documents:
            return Held(session_id, [{"new": 1}, {"new": 1}], 0)
        states = [cp.restore(session_id, revision=revision).state for cp in self._cps]
        assert states == [session.documents[revision]] * 2
        return Held(session_id, states, revision)

    @rule(held=consumes(held), change=edits, branch=st.booleans())
    def save_what_is_held(self, held: Held, change: tuple[str, Any, str], *, branch: bool) -> None:
        session = self._session(held.session_id)
        for state in held.states:
            edit(state, *copy.deepcopy(change))
        answers = [
            told(lambda cp=cp, s=state: cp.save(held.session_id, s, branch=branch))  # type: ignore[misc]
            for cp, state in zip(self._cps, held.states, strict=True)
        ]
        assert answers[0] == answers[1]
        unmoved = held.revision == (0 if session.deleted else session.newest)
        if isinstance(answers[0], dict):
            if answers[0]["revision"] > session.newest:
                assert branch or unmoved
                session.saved(held.states[0])
                assert answers[0]["revision"] == session.newest
                assert answers[0]["parent_revision"] <= session.newest - 1
        else:
            assert answers[0][0] is Conflict
            assert not unmoved

    @rule(session_id=names, document=st.dictionaries(fields, values))
    def overwrite(self, session_id: str, document: Document) -> None:
        self._both(lambda cp: cp.overwrite(session_id, copy.deepcopy(document)))
        self._session(session_id).saved(document)

    # --- whole sessions --------------------------------------------------------------------------

    @rule(session_id=names, new=names, back=st.integers(-1, 3))
    def fork(self, session_id: str, new: str, back: int) -> None:
        source, target = self._session(session_id), self._session(new)
        revision = source.newest - back
        answer = self._both(lambda cp: cp.fork(session_id, new, revision=revision))
        if revision in source.documents and target.deleted:
            document = source.documents[revision]
            target.saved(document)
            assert answer["source"] == (session_id, revision)
        else:
            assert not isinstance(answer, dict)

    @rule(session_id=names, back=st.integers(-1, 3))
    def rollback(self, session_id: str, back: int) -> None:
        session = self._session(session_id)
        revision = session.newest - back
        answer = self._both(lambda cp: cp.rollback(session_id, revision))
        if revision in session.documents:
            session.saved(session.documents[revision])
            assert answer["revision"] == session.newest
        else:
            assert not isinstance(answer, dict)

    @rule(session_id=names)
    def delete(self, session_id: str) -> None:
        session = self._session(session_id)
        assert self._both(lambda cp: cp.delete(session_id)) is not session.deleted
        if not session.deleted:
            session.removed()

    @rule(session_id=names, label=st.sampled_from(["x", "X", "before"]), back=st.integers(0, 3))
    def label(self, session_id: str, label: str, back: int) -> None:
        session = self._session(session_id)
        revision = session.newest - back
        self._both(lambda cp: cp.label(session_id, label, revision=revision))
        if revision in session.documents:
            session.labels[label] = revision

    @rule(session_id=names, label=st.sampled_from(["x", "X", "before"]))
    def unlabel(self, session_id: str, label: str) -> None:
        there = self._session(session_id).labels.pop(label, None) is not None
        assert self._both(lambda cp: cp.unlabel(session_id, label)) is there

    # --- looking ---------------------------------------------------------------------------------

    @rule(session_id=names, back=st.integers(-1, 6))
    def restore_any_revision(self, session_id: str, back: int) -> None:
        session = self._session(session_id)
        revision = session.newest - back
        answer = self._both(lambda cp: dict(cp.restore(session_id, revision=revision).state))
        if revision in session.documents:
            assert repr(answer) == repr(session.documents[revision])
        else:
            assert issubclass(answer[0], LookupError)

    @rule(session_id=names, label=st.sampled_from(["x", "X", "before"]))
    def restore_a_label(self, session_id: str, label: str) -> None:
        session = self._session(session_id)
        answer = self._both(lambda cp: cp.restore(session_id, revision=label).revision)
        assert (answer == session.labels[label]) if label in session.labels else answer[0]

    @rule(session_id=names, limit=st.none() | st.integers(1, 4), back=st.none() | st.integers(0, 3))
    def history(self, session_id: str, limit: int | None, back: int | None) -> None:
        session = self._session(session_id)
        before = None if back is None else session.newest - back
        answer = self._both(lambda cp: cp.history(session_id, limit=limit, before=before))
        expected = sorted(
            (n for n in session.documents if before is None or n < before), reverse=True
        )
        if not session.deleted:
            assert [s["revision"] for s in answer] == expected[:limit]
            for snapshot in answer:
                of_it = [n for n, at in session.labels.items() if at == snapshot["revision"]]
                assert snapshot["labels"] == tuple(sorted(of_it))

    @rule(session_id=names, old=st.integers(0, 4), new=st.integers(0, 4))
    def diff(self, session_id: str, old: int, new: int) -> None:
        at = self._session(session_id).newest
        self._both(lambda cp: cp.diff(session_id, at - old, at - new))

    @invariant()
    def the_newest_is_what_was_saved_last(self) -> None:
        expected = {n: s.newest for n, s in self._expected.items() if not s.deleted}
        for cp in self._cps:
            assert {info.session_id: info.revision for info in cp.sessions()} == expected
            for session_id in expected:
                document = cp.document(session_id)
                assert repr(document) == repr(self._expected[session_id].current())


ApiModel.TestCase.settings = steps(40, length=40)
test_sessions_on_sqlite_go_as_in_memory = ApiModel.TestCase
