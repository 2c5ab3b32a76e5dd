"""Stored bytes that were changed behind the store's back: a typed error, never a wrong state."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import checkpoint
from checkpoint import Checkpointer, CheckpointError, Damaged, StateTooLarge, UnsupportedFormat
from checkpoint._ids import SessionKey
from checkpoint._limits import Limits
from checkpoint._records.segment import read
from checkpoint._stores.inmemory import InMemoryStore
from checkpoint.store import Record

from ..effort import examples

pytestmark = pytest.mark.promise("checked-restores")

KEYS = [SessionKey("default", "alice"), SessionKey("default", "bob"), SessionKey("tenant", "alice")]
REVISIONS = range(1, 9)
Place = tuple[SessionKey, int]
PLACES: list[Place] = [(key, revision) for key in KEYS for revision in REVISIONS]
Parts = tuple[bytes, bytes]  # a record's head and body


# --- stores whose bytes the tests can change ------------------------------------------------------


class Rows(Protocol):
    """What a store keeps, past its own methods."""

    def open(self, namespace: str) -> Checkpointer[dict[str, Any]]: ...
    def get(self, place: Place) -> Parts: ...
    def put(self, place: Place, parts: Parts) -> None: ...
    def swap_sessions(self, a: SessionKey, b: SessionKey) -> None: ...


class MemoryRows:
    def __init__(self, _: Path) -> None:
        self.store = InMemoryStore()

    def open(self, namespace: str) -> Checkpointer[dict[str, Any]]:
        return checkpoint.open(self.store, namespace=namespace, cache_bytes=0)

    def get(self, place: Place) -> Parts:
        record = self.store._sessions[place[0]].records[place[1]]
        return record.header, record.body

    def put(self, place: Place, parts: Parts) -> None:
        key, revision = place
        self.store._sessions[key].records[revision] = Record(revision, *parts)

    def swap_sessions(self, a: SessionKey, b: SessionKey) -> None:
        sessions = self.store._sessions
        sessions[a], sessions[b] = sessions[b], sessions[a]


class SqliteRows:
    def __init__(self, directory: Path) -> None:
        self.path = directory / "agents.db"
        with self.open("default") as cp:
            cp.delete("nobody")  # makes the tables
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        self.connection.execute("PRAGMA synchronous = OFF")

    def open(self, namespace: str) -> Checkpointer[dict[str, Any]]:
        url = f"sqlite:///{self.path}"
        return checkpoint.open(url, namespace=namespace, cache_bytes=0)

    def get(self, place: Place) -> Parts:
        row = self.connection.execute(
            "SELECT r.head, r.body FROM checkpoint_records r JOIN checkpoint_sessions s "
            "ON s.id = r.session WHERE s.namespace = ? AND s.session_id = ? AND r.revision = ?",
            (*place[0], place[1]),
        ).fetchone()
        return row[0], row[1]

    def put(self, place: Place, parts: Parts) -> None:
        self.connection.execute(
            "UPDATE checkpoint_records SET head = ?, body = ? WHERE revision = ? AND session = "
            "(SELECT id FROM checkpoint_sessions WHERE namespace = ? AND session_id = ?)",
            (*parts, place[1], *place[0]),
        )

    def swap_sessions(self, a: SessionKey, b: SessionKey) -> None:
        aside = SessionKey("aside", "aside")
        for old, new in ((a, aside), (b, a), (aside, b)):
            self.connection.execute(
                "UPDATE checkpoint_sessions SET namespace = ?, session_id = ? "
                "WHERE namespace = ? AND session_id = ?",
                (*new, *old),
            )


class Stored:
    """A store with a few sessions in it, and the truth about them.

    Attributes:
        states: the state at each revision.
        bases: the revision with which the segment of each revision begins.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.checkpointers = {name: rows.open(name) for name in ("default", "tenant")}
        self.states: dict[Place, dict[str, Any]] = {}
        self.bases: dict[Place, int] = {}

    def restore(self, place: Place) -> dict[str, Any]:
        key, revision = place
        return self.checkpointers[key.namespace].restore(key.session_id, revision=revision).state

    def records(self, key: SessionKey, first: int, last: int) -> list[Record]:
        return [Record(n, *self.rows.get((key, n))) for n in range(first, last + 1)]

    @contextmanager
    def changed(self, changes: dict[Place, Parts]) -> Iterator[None]:
        before = {place: self.rows.get(place) for place in changes}
        for place, parts in changes.items():
            self.rows.put(place, parts)
        try:
            yield
        finally:
            for place, parts in before.items():
                self.rows.put(place, parts)

    def check(self, changes: dict[Place, Parts]) -> None:
        """What reads a changed record is refused; everything else is as it was."""
        with self.changed(changes):
            for place in PLACES:
                if any(place[0] == key for key, _ in changes):
                    self._check_place(place, changes)

    def _check_place(self, place: Place, changes: dict[Place, Parts]) -> None:
        key, revision = place
        needed = range(self.bases[place], revision + 1)
        hit = [n for k, n in changes if k == key and n in needed]
        if not hit:
            assert self.restore(place) == self.states[place]
            return
        with pytest.raises((Damaged, UnsupportedFormat, StateTooLarge)) as caught:
            self.restore(place)
        assert (caught.value.namespace, caught.value.session_id) == key
        assert caught.value.revision == min(hit)


def chat(state: dict[str, Any], number: int) -> str:
    """A turn: some of what it changes compresses, some does not."""
    state.setdefault("memory", []).append({"role": "user", "content": f"message {number} "})
    state["notes"] = "all is well. " * 20
    state["cursors"] = {"seen": number}
    return "answer " * number


def turns(cp: Checkpointer[dict[str, Any]], session_id: str) -> list[dict[str, Any]]:
    """Eight revisions: a base with patches, and another one; the state after each."""
    states: list[dict[str, Any]] = []
    for number in range(1, 5):
        cp.run(session_id, partial(chat, number=number), turn_id=f"turn {number}")
        states.append(copy.deepcopy(cp.restore(session_id).state))
        assert [item["content"] for item in states[-1]["memory"]][-1] == f"message {number} "
    cp.rollback(session_id, 2)
    states.append(states[1])
    for number in range(6, 9):
        with cp.turn(session_id) as turn:
            turn.state["who"] = session_id
            chat(turn.state, number)
        states.append(copy.deepcopy(turn.state))
    return states


def stored_in(rows: Rows) -> Stored:
    stored = Stored(rows)
    for key in KEYS:
        cp = stored.checkpointers[key.namespace]
        for revision, state in enumerate(turns(cp, key.session_id), start=1):
            stored.states[key, revision] = state
        for snapshot in reversed(cp.history(key.session_id)):
            place = (key, snapshot.revision)
            earlier = stored.bases.get((key, snapshot.revision - 1), 0)
            stored.bases[place] = snapshot.revision if snapshot.kind == "base" else earlier
    assert [stored.bases[KEYS[0], n] for n in REVISIONS] == [1, 1, 1, 1, 5, 5, 5, 5]
    return stored


@pytest.fixture(scope="module", params=[MemoryRows, SqliteRows], ids=["memory", "sqlite"])
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stored]:
    rows: Rows = request.param(tmp_path_factory.mktemp("stored"))
    stored = stored_in(rows)
    yield stored
    for cp in stored.checkpointers.values():
        cp.close()
    if isinstance(rows, SqliteRows):
        rows.connection.close()


# --- one byte, one cut, two records --------------------------------------------------------------


def test_what_was_not_touched_restores(stored: Stored) -> None:
    assert {place: stored.restore(place) for place in PLACES} == stored.states


@examples(600)
@given(place=st.sampled_from(PLACES), data=st.data())
def test_a_flipped_byte_is_never_a_wrong_state(
    stored: Stored, place: Place, data: st.DataObject
) -> None:
    head, body = stored.rows.get(place)
    whole = bytearray(head + body)
    whole[data.draw(st.integers(0, len(whole) - 1), "byte")] ^= data.draw(st.integers(1, 255), "by")
    stored.check({place: (bytes(whole[: len(head)]), bytes(whole[len(head) :]))})


@examples(250)
@given(place=st.sampled_from(PLACES), of_head=st.booleans(), data=st.data())
def test_a_record_cut_short_is_never_a_wrong_state(
    stored: Stored, place: Place, of_head: bool, data: st.DataObject
) -> None:
    head, body = stored.rows.get(place)
    part = head if of_head else body
    cut = part[: data.draw(st.integers(0, len(part) - 1), "length")]
    stored.check({place: (cut, body) if of_head else (head, cut)})


@examples(50)
@given(st.sampled_from(PLACES), st.binary(min_size=1), st.booleans())
def test_a_record_that_grew_is_never_a_wrong_state(
    stored: Stored, place: Place, more: bytes, to_head: bool
) -> None:
    head, body = stored.rows.get(place)
    stored.check({place: (head + more, body) if to_head else (head, body + more)})


@examples(50)
@given(st.sampled_from(PLACES), st.integers(1, 300))
def test_bytes_that_moved_between_head_and_body_are_never_a_wrong_state(
    stored: Stored, place: Place, count: int
) -> None:
    head, body = stored.rows.get(place)
    stored.check({place: (head + body[:count], body[count:])})


@examples(250)
@given(
    st.sampled_from(PLACES),
    st.sampled_from(PLACES),
    st.sampled_from(["record", "head", "body"]),
)
def test_two_records_swapped_are_never_a_wrong_state(
    stored: Stored, a: Place, b: Place, part: str
) -> None:
    assume(a != b)
    (head_a, body_a), (head_b, body_b) = stored.rows.get(a), stored.rows.get(b)
    swapped = {
        "record": {a: (head_b, body_b), b: (head_a, body_a)},
        "head": {a: (head_b, body_a), b: (head_a, body_b)},
        "body": {a: (head_a, body_b), b: (head_b, body_a)},
    }
    stored.check(swapped[part])


@examples(50)
@given(st.sampled_from(PLACES), st.sampled_from(PLACES))
def test_a_record_copied_over_another_is_never_a_wrong_state(
    stored: Stored, a: Place, b: Place
) -> None:
    assume(a != b)
    stored.check({a: stored.rows.get(b)})


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)], ids=["session", "namespace", "both"])
def test_whole_sessions_swapped_are_never_a_wrong_state(
    stored: Stored, pair: tuple[int, int]
) -> None:
    a, b = KEYS[pair[0]], KEYS[pair[1]]
    stored.rows.swap_sessions(a, b)
    try:
        for key in (a, b):
            for revision in REVISIONS:
                with pytest.raises(Damaged) as caught:
                    stored.restore((key, revision))
                assert caught.value.session_id == key.session_id
            with pytest.raises(Damaged):
                stored.checkpointers[key.namespace].restore(key.session_id)
    finally:
        stored.rows.swap_sessions(a, b)
    assert stored.restore((a, 8)) == stored.states[a, 8]


@examples(200)
@given(st.sampled_from(KEYS), st.lists(st.sampled_from(REVISIONS), min_size=1, max_size=9))
def test_records_missing_doubled_or_out_of_order_are_never_a_wrong_state(
    stored: Stored, key: SessionKey, revisions: list[int]
) -> None:
    records = [Record(n, *stored.rows.get((key, n))) for n in revisions]
    place = (key, revisions[-1])
    if revisions == list(range(stored.bases[place], revisions[-1] + 1)):
        assert read(key, records, Limits(10**6)).build(key, {}).document == stored.states[place]
    else:
        with pytest.raises(Damaged):
            read(key, records, Limits(10**6))


def test_a_missing_record_is_named(stored: Stored) -> None:
    records = [Record(n, *stored.rows.get((KEYS[0], n))) for n in (5, 6, 8)]
    with pytest.raises(Damaged, match="revision 7 is missing"):
        read(KEYS[0], records, Limits(10**6))


def a_history(rows: Rows, name: str) -> Checkpointer[dict[str, Any]]:
    """A session of a base and two patches, so small that they are not compressed."""
    cp = rows.open("default")
    for number in (1, 2, 3):
        with cp.turn("alice") as turn:
            turn.state[f"{name}{number}"] = number
    assert [snapshot.kind for snapshot in cp.history("alice")] == ["patch", "patch", "base"]
    return cp


@pytest.mark.parametrize("revision", [1, 2, 3])
def test_two_histories_of_one_session_do_not_mix(revision: int) -> None:
    """As after a backup of some rows: each record is sound, of this session and revision."""
    place = (KEYS[0], revision)
    other, rows = MemoryRows(Path()), MemoryRows(Path())
    a_history(other, "a")
    cp = a_history(rows, "b")
    (theirs_head, theirs_body), (head, body) = other.get(place), rows.get(place)
    for parts in ((theirs_head, theirs_body), (theirs_head, body), (head, theirs_body)):
        rows.put(place, parts)
        with pytest.raises(Damaged):
            cp.restore("alice")
    rows.put(place, (theirs_head, theirs_body))
    if revision == 2:  # not the newest, which the head would tell
        with pytest.raises(Damaged):
            cp.restore("alice", revision=2)


def test_no_records_at_all_are_damage() -> None:
    with pytest.raises(Damaged, match="session 'alice'"):
        read(KEYS[0], [], Limits(10**6))


# --- what else a damaged session answers ----------------------------------------------------------


def test_a_turn_of_a_damaged_session_raises_and_writes_nothing(stored: Stored) -> None:
    key = KEYS[0]
    cp = stored.checkpointers[key.namespace]
    head, body = stored.rows.get((key, 6))
    before = [snapshot.write_id for snapshot in cp.history(key.session_id)]
    with stored.changed({(key, 6): (head, body[:-1] + bytes((body[-1] ^ 1,)))}):
        with pytest.raises(Damaged), cp.turn(key.session_id) as turn:
            turn.state["memory"] = []
        with pytest.raises(Damaged):
            cp.run(key.session_id, lambda state: state.clear())
        with pytest.raises(Damaged):
            cp.fork(key.session_id, "fork")
    assert [snapshot.write_id for snapshot in cp.history(key.session_id)] == before
    assert {info.session_id for info in cp.sessions()} == {"alice", "bob"}


@pytest.mark.parametrize("revision", [1, 8])
@pytest.mark.parametrize("by", [0x01, 0x80, 0xFF])
def test_a_history_with_a_flipped_byte_is_told_or_refused(
    stored: Stored, revision: int, by: int
) -> None:
    place = (KEYS[0], revision)
    head, body = stored.rows.get(place)
    for at in range(len(head)):
        flipped = head[:at] + bytes((head[at] ^ by,)) + head[at + 1 :]
        with stored.changed({place: (flipped, body)}), suppress(CheckpointError):
            history = stored.checkpointers["default"].history("alice")
            assert [snapshot.revision for snapshot in history] == list(reversed(REVISIONS))


# --- what a store says of its records -------------------------------------------------------------

ALICE = "WHERE namespace = 'default' AND session_id = 'alice'"
OF_ALICE = f"session = (SELECT id FROM checkpoint_sessions {ALICE})"


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE checkpoint_sessions SET write_id = zeroblob(16) {ALICE}",
        f"UPDATE checkpoint_sessions SET revision = 7 {ALICE}",
        f"UPDATE checkpoint_sessions SET revision = 9 {ALICE}",
        f"UPDATE checkpoint_sessions SET base = 1 {ALICE}",
        f"UPDATE checkpoint_sessions SET base = 6 {ALICE}",
        f"UPDATE checkpoint_sessions SET base = 9 {ALICE}",
        f"DELETE FROM checkpoint_records WHERE revision = 8 AND {OF_ALICE}",
        f"DELETE FROM checkpoint_records WHERE revision > 4 AND {OF_ALICE}",
        f"DELETE FROM checkpoint_records WHERE {OF_ALICE}",
    ],
)
def test_a_newest_revision_that_is_not_there_is_never_an_older_one(
    tmp_path: Path, change: str
) -> None:
    rows = SqliteRows(tmp_path)
    stored = stored_in(rows)
    cp = stored.checkpointers["default"]
    rows.connection.execute(change)
    with pytest.raises(Damaged) as caught:
        cp.restore("alice")
    assert caught.value.session_id == "alice"
    with pytest.raises(Damaged), cp.turn("alice"):
        pytest.fail("the turn began")
    assert cp.restore("bob").state == stored.states[KEYS[1], 8]
    for cp in stored.checkpointers.values():
        cp.close()
    rows.connection.close()


# --- the file itself -----------------------------------------------------------------------------


class File:
    """The bytes of a SQLite file, and the truth about them.

    Attributes:
        spans: where the records lie.
        used: places of bytes that are not 0, where there is something to damage.
    """

    def __init__(self, data: bytes, parts: dict[Place, bytes], stored: Stored) -> None:
        self.data = data
        self.states = stored.states
        self.spans = {
            place: range(data.index(part), data.index(part) + len(part))
            for place, part in parts.items()
        }
        self.used = [at for at, byte in enumerate(data) if byte]

    def flipped(self, at: int, by: int) -> bytes:
        return self.data[:at] + bytes((self.data[at] ^ by,)) + self.data[at + 1 :]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> File:
    rows = SqliteRows(tmp_path_factory.mktemp("file"))
    stored = stored_in(rows)
    parts = {place: b"".join(rows.get(place)) for place in PLACES}
    for cp in stored.checkpointers.values():
        cp.close()
    rows.connection.execute("PRAGMA journal_mode = DELETE")
    rows.connection.execute("VACUUM")  # no stale copies of anything
    rows.connection.close()
    return File(rows.path.read_bytes(), parts, stored)


def restored_from(data: bytes, key: SessionKey) -> dict[str, Any]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "agents.db")
        path.write_bytes(data)
        with checkpoint.open(f"sqlite:///{path}", namespace=key.namespace) as cp:
            return cp.restore(key.session_id).state


@examples(150)
@given(place=st.sampled_from(PLACES), data=st.data())
def test_a_byte_of_a_record_flipped_in_the_file_is_never_a_wrong_state(
    file: File, place: Place, data: st.DataObject
) -> None:
    key, revision = place
    at = data.draw(st.sampled_from(file.spans[place]), "byte")
    flipped = file.flipped(at, data.draw(st.integers(1, 255), "by"))
    if revision < 5:  # the newest revision does not need it
        assert restored_from(flipped, key) == file.states[key, 8]
    else:
        with pytest.raises((Damaged, UnsupportedFormat, StateTooLarge)):
            restored_from(flipped, key)


@examples(300)
@given(key=st.sampled_from(KEYS), place=st.integers(0, 2**32), by=st.integers(1, 255))
def test_any_byte_flipped_in_the_file_is_never_a_wrong_state_or_another_error(
    file: File, key: SessionKey, place: int, by: int
) -> None:
    at = file.used[place % len(file.used)]
    check_that_it_is_refused_or_right(file, file.flipped(at, by), key)


@pytest.mark.parametrize("revision", [5, 8])
def test_any_bit_flipped_before_a_record_in_the_file_is_never_a_wrong_state_or_another_error(
    file: File, revision: int
) -> None:
    """There SQLite notes the types and sizes of the columns."""
    key = KEYS[0]
    start = file.spans[key, revision].start
    for at in range(start - 14, start):
        for bit in range(8):
            check_that_it_is_refused_or_right(file, file.flipped(at, 1 << bit), key)


@pytest.mark.parametrize("table", ["checkpoint_layout", "checkpoint_sessions"])
def test_any_bit_flipped_before_a_table_in_the_file_is_never_a_wrong_state_or_another_error(
    file: File, table: str
) -> None:
    """There SQLite notes the types of a table's name and definition."""
    start = file.data.index(f"table{table}".encode())
    for at in range(start - 10, start):
        for bit in range(8):
            check_that_it_is_refused_or_right(file, file.flipped(at, 1 << bit), KEYS[0])


@examples(30)
@given(key=st.sampled_from(KEYS), length=st.integers(0, 2**32))
def test_a_file_cut_short_is_never_a_wrong_state_or_another_error(
    file: File, key: SessionKey, length: int
) -> None:
    check_that_it_is_refused_or_right(file, file.data[: length % len(file.data)], key)


def check_that_it_is_refused_or_right(file: File, data: bytes, key: SessionKey) -> None:
    with suppress(CheckpointError):
        assert restored_from(data, key) == file.states[key, 8]
