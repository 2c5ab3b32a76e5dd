"""Objects that something else changed, cut short, swapped or removed: never a wrong state.

What is wrong is told by typed errors that name the session, and the revisions where it is not all
of them; other sessions go on; and the session can be overwritten and deleted, if its head object
can be told from another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest

from checkpoint import CheckpointError, Damaged, Memory, Retention, UnsupportedFormat
from checkpoint._ids import SessionKey
from checkpoint._records import baseline
from checkpoint_objectstore._format import Session, unpack_session
from checkpoint_objectstore._layout import folder_of
from checkpoint_objectstore._sync.store import ObjectStore
from tests.objectstore.ending import Agents, Notes, World, told

pytestmark = pytest.mark.promise("checked-restores")

A, B = SessionKey("default", "a"), SessionKey("default", "b")
HEAD = folder_of(A).head


class Place(World):
    """Sessions ``a``, with finished segments and a label, and ``b``.

    Attributes:
        was: all that users see of them.
    """

    def __init__(self, *, pages: int = 0) -> None:
        super().__init__()
        cp = self.process()
        for number in range(5):
            with cp.turn("a") as turn:
                turn.state.memory.append(f"item {number} {'.' * pages}")
                turn.state.config["n"] = str(number)
        cp.label("a", "x", revision=2)
        cp.save("b", Notes(config={"of": "b"}))
        self.was = told(cp)

    def head(self) -> Session:
        return unpack_session(A, self.objects.kept[HEAD][0])

    def segments(self) -> list[str]:
        """The keys of its finished segments, from the first."""
        return [folder_of(A).page(segment.id) for segment in self.head().finished]

    def data(self, key: str) -> bytes:
        return self.objects.kept[key][0]

    def put(self, key: str, data: bytes | None) -> None:
        """Put something there behind the store's back; nothing, if None."""
        self.objects.kept.pop(key, None)
        if data is not None:
            self.objects.kept[key] = data, self.now


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "MAX_PATCHES", 1)


@pytest.fixture
def place() -> Place:
    return Place()


def failure(call: Callable[[], object]) -> CheckpointError | None:
    try:
        call()
    except CheckpointError as exc:
        found = exc
    else:
        return None
    assert found.session_id == "a"
    return found


def turn(cp: Agents, name: str = "a") -> None:
    with cp.turn(name) as turn:
        turn.state.config["one"] = "more"


def overwrite(cp: Agents) -> None:
    cp.overwrite("a", Notes(config={"new": "one"}))


def restored_as(cp: Agents, was: dict[int, dict[str, Any]], revision: int | None) -> None:
    """Restore a revision: the right one, with the right state."""
    restored = cp.restore("a", revision=revision)
    assert restored.revision == (revision or max(was))
    assert restored.state.model_dump() == was[restored.revision]


def flipped(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The data with one bit flipped, for each of its bytes."""
    for at in range(len(data)):
        yield at, data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


def goes_on(cp: Agents) -> None:
    """The other session is as it was, and what looks after all of them comes to it."""
    assert cp.restore("b").state.config == {"of": "b"}
    swept = {pruned.session_id: pruned.problem for pruned in cp.sweep(Retention(keep_last=99))}
    assert swept["b"] is None
    assert "a" in swept


# --- head objects --------------------------------------------------------------------------------


def check_unusable(place: Place, error: tuple[type[CheckpointError], ...]) -> None:
    """The head tells nothing: nothing is written on it, and nobody is told that it is not there."""
    cp, kept = place.process(), place.objects.kept.copy()
    calls: Iterable[Callable[[], object]] = (
        lambda: cp.restore("a"),
        lambda: cp.restore("a", revision=1),
        lambda: cp.restore("a", revision="x"),
        lambda: cp.history("a"),
        lambda: turn(cp),
        lambda: cp.save("a", Notes()),
        lambda: cp.overwrite("a", Notes()),
        lambda: cp.rollback("a", 1),
        lambda: cp.label("a", "y"),
        lambda: cp.delete("a"),
        lambda: cp.prune("a", Retention(keep_last=1)),
    )
    for call in calls:
        assert isinstance(failure(call), error)
    (problem,) = cp.verify("a")
    assert problem.what == "head"
    goes_on(cp)
    listed: list[int] = []  # by the start of the head, which may be whole
    if failure(lambda: listed.extend(info.revision for info in cp.sessions("a"))) is None:
        assert listed == [5]
    assert [info.session_id for info in cp.sessions("b")] == ["b"]
    assert place.objects.kept == kept


OTHER_BYTES: dict[str, Callable[[Place], bytes]] = {
    "nothing": lambda place: b"",
    "JSON": lambda place: b'{"an": "object"}',
    "a database": lambda place: b"SQLite format 3\0" + bytes(4096),
    "that of another session": lambda place: place.data(folder_of(B).head),
    "a finished segment": lambda place: place.data(place.segments()[0]),
    "more at its end": lambda place: place.data(HEAD) + b"\0",
}


@pytest.mark.parametrize("what", OTHER_BYTES)
def test_something_else_in_place_of_a_head_is_damage(place: Place, what: str) -> None:
    place.put(HEAD, OTHER_BYTES[what](place))
    check_unusable(place, (Damaged,))


def test_a_head_that_was_cut_short_anywhere_is_damage(place: Place) -> None:
    data = place.data(HEAD)
    for size in range(len(data)):
        place.put(HEAD, data[:size])
        if size % 50 == 0:
            check_unusable(place, (Damaged,))
        assert isinstance(failure(partial(place.process().restore, "a")), Damaged)


def test_a_head_of_a_newer_format_is_told_as_that(place: Place) -> None:
    data = place.data(HEAD)
    place.put(HEAD, data[:3] + b"\x02" + data[4:])
    check_unusable(place, (UnsupportedFormat,))


def test_no_byte_of_a_head_can_change_what_is_restored(place: Place) -> None:
    data, was = place.data(HEAD), place.was.revisions["a"]
    told_of = set()
    for at, changed in flipped(data):
        place.put(HEAD, changed)
        cp = place.process()
        for revision in (None, *was):
            if (exc := failure(partial(restored_as, cp, was, revision))) is not None:
                assert isinstance(exc, (Damaged, UnsupportedFormat)), at
                told_of.add(at)
        assert cp.verify("a"), at
    assert told_of == set(range(len(data)))


def test_a_save_on_a_head_with_a_damaged_record_goes_on_from_no_other(place: Place) -> None:
    """Whatever byte flips: what is saved is there, and no other revision has another state."""
    data = place.data(HEAD)
    saved = set()
    for at, changed in flipped(data):
        if at % 7:
            continue
        place.put(HEAD, changed)
        cp = place.process()
        if failure(partial(overwrite, cp)) is None:
            saved.add(at)
            assert place.process().restore("a").state.config == {"new": "one"}
            for revision, state in place.was.revisions["a"].items():
                try:
                    found = place.process().restore("a", revision=revision)
                except Damaged:
                    continue
                assert found.state.model_dump() == state
            assert place.process().delete("a")
    assert saved


# --- the newest segment, in the head -------------------------------------------------------------


def test_a_session_with_a_damaged_body_can_be_overwritten_rolled_back_and_deleted() -> None:
    writes: tuple[Callable[[Agents], object], ...] = (
        overwrite,
        lambda cp: cp.rollback("a", 1),
        lambda cp: cp.delete("a"),
    )
    for write in writes:
        place = Place()
        data = place.data(HEAD)
        place.put(HEAD, data[:-1] + bytes([data[-1] ^ 1]))
        assert isinstance(failure(partial(place.process().restore, "a")), Damaged)
        (problem,) = place.process().verify("a")
        assert problem.revisions == ((5, 5),)
        write(place.process())
        if write is not overwrite:
            continue
        assert place.process().restore("a").state.config == {"new": "one"}
        assert place.process().restore("a", revision=4).state.config == {"n": "3"}


# --- finished segments ---------------------------------------------------------------------------


def check_unreadable_segment(place: Place, revisions: range) -> None:
    """These revisions are gone, and all others are there; the session goes on."""
    cp, first, last = place.process(), revisions[0], revisions[-1]
    for revision, state in place.was.revisions["a"].items():
        if revision in revisions:
            exc = failure(partial(cp.restore, "a", revision=revision))
            assert isinstance(exc, (Damaged, UnsupportedFormat))
            assert exc.revision in revisions
            assert f"revisions {first} to {last}" in str(exc)
        else:
            assert cp.restore("a", revision=revision).state.model_dump() == state
    assert 2 in revisions or cp.restore("a", revision="x").revision == 2
    problems = cp.verify("a")
    assert [problem.revisions for problem in problems] == [((first, last),)]
    assert isinstance(failure(lambda: cp.history("a")), Damaged)
    goes_on(cp)
    turn(cp)
    cp.overwrite("a", Notes(config={"new": "one"}))
    cp.rollback("a", 5)
    assert place.process().restore("a").state.config["n"] == "4"
    cp.prune("a", Retention(keep_last=1, keep_labelled=False))
    assert cp.verify("a") == []
    assert cp.delete("a")
    place.sweep()
    assert [key for key in place.objects.kept if key.startswith(folder_of(A).path)] == [HEAD]


BROKEN: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda data: None,
    "empty": lambda data: b"",
    "half of it": lambda data: data[: len(data) // 2],
    "one byte less": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "something else": lambda data: b"<html></html>",
    "of a newer format": lambda data: data[:3] + b"\x02" + data[4:],
}


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_segment_hits_its_revisions_alone(place: Place, what: str, number: int) -> None:
    key, finished = place.segments()[number], place.head().finished[number]
    place.put(key, BROKEN[what](place.data(key)))
    check_unreadable_segment(place, range(finished.base, finished.last + 1))


@pytest.mark.parametrize("what", [b"", None])
def test_it_can_be_deleted_whatever_is_broken_in_its_segments(
    place: Place, what: bytes | None
) -> None:
    for key in place.segments():
        place.put(key, what)
    assert place.process().delete("a")
    place.sweep()
    assert [key for key in place.objects.kept if key.startswith(folder_of(A).path)] == [HEAD]


def test_segments_that_were_swapped_are_not_told_as_each_other(place: Place) -> None:
    first, second = place.segments()
    one, other = place.data(first), place.data(second)
    place.put(first, other)
    place.put(second, one)
    cp = place.process()
    for revision in 1, 2, 3, 4:
        exc = failure(partial(cp.restore, "a", revision=revision))
        assert isinstance(exc, Damaged)
        assert exc.revision in (revision, revision - 1)
    assert cp.restore("a").revision == 5
    assert {p.revisions for p in cp.verify("a")} == {((1, 2),), ((3, 4),)}
    assert cp.delete("a")


def test_the_segment_of_another_session_is_not_told_as_its_own(place: Place) -> None:
    cp = place.process()
    for number in range(5):  # as a's are
        with cp.turn("c") as turn:
            turn.state.memory.append(f"item {number} ")
    other = folder_of(SessionKey("default", "c"))
    finished = unpack_session(SessionKey("default", "c"), place.data(other.head)).finished
    for key, segment_ in zip(place.segments(), finished, strict=True):
        place.put(key, place.data(other.page(segment_.id)))
    for revision in 1, 2, 3, 4:
        assert isinstance(failure(partial(cp.restore, "a", revision=revision)), Damaged)


def test_no_byte_of_a_segment_can_change_what_is_restored(place: Place) -> None:
    (key, _), was = place.segments(), place.was.revisions["a"]
    data = place.data(key)
    for at, changed in flipped(data):
        place.put(key, changed)
        cp = place.process()
        for revision in 1, 2:
            exc = failure(partial(restored_as, cp, was, revision))
            assert isinstance(exc, (Damaged, UnsupportedFormat)) or (exc is None and revision < 2)
        problems = cp.verify("a")
        assert problems, at
        assert all(first <= 2 and last <= 2 for p in problems for first, last in p.revisions)
        assert cp.restore("a").revision == 5


def test_a_process_that_keeps_no_heads_tells_of_a_missing_segment(place: Place) -> None:
    """And not that it changes all the time."""
    place.put(place.segments()[0], None)
    store = ObjectStore(place.objects, cache_bytes=0)
    with pytest.raises(Damaged, match="revisions 1 to 2") as caught:
        store.read(A, 1)
    assert (caught.value.session_id, caught.value.revision) == ("a", 1)


# --- pages and attachments -----------------------------------------------------------------------


def pages_of(place: Place) -> list[str]:
    prefix = folder_of(A).pages
    kept = {key for key in place.objects.kept if key.startswith(prefix)}
    return sorted(kept - {*place.segments()})


@pytest.mark.parametrize("what", [None, b"", b"something else"])
def test_a_broken_page_is_told_with_its_session_and_revision(what: bytes | None) -> None:
    place = Place()
    cp = place.process()
    cp.overwrite("a", Notes(memory=Memory([f"{n} {'.' * 10_000}" for n in range(60)])))
    place.put(pages_of(place)[0], what)
    exc = failure(partial(place.process().restore, "a"))
    assert isinstance(exc, Damaged)
    assert exc.revision == 6
    problems = place.process().verify("a")
    assert {p.what for p in problems} == {"page"}
    assert all((6, 6) in p.revisions for p in problems)
    assert place.process().restore("a", revision=5).revision == 5
    goes_on(place.process())
    assert place.process().delete("a")


@pytest.mark.parametrize("label", ["x", "long " + "x" * 250])
def test_no_byte_of_a_label_can_make_it_name_another_revision(place: Place, label: str) -> None:
    place.process().label("a", label, revision=3)
    (key,) = (k for k, v in place.objects.kept.items() if label.encode() in v[0] and "notes" in k)
    data = place.data(key)
    found = set()

    def note(cp: Agents) -> None:
        found.add(cp.restore("a", revision=label).revision)

    for _, changed in [*flipped(data), (0, b""), (0, data[:-1]), (0, data + b"\0")]:
        place.put(key, changed)
        cp = place.process()
        exc = failure(partial(note, cp))
        assert exc is None or isinstance(exc, Damaged)
        assert cp.restore("a").revision == 5
        assert exc is None or "label" in {p.what for p in cp.verify("a")}
        goes_on(cp)
    assert found <= {3}
    place.process().label("a", label, revision=4)
    assert place.process().restore("a", revision=label).revision == 4
