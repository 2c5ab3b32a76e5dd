"""Two processes at once, told step by step: what happens between the requests of one of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from checkpoint import Retention, RevisionPruned
from checkpoint._ids import SessionKey
from checkpoint.store import Attachment
from checkpoint_objectstore._layout import ID, folder_of
from checkpoint_objectstore.objects import Entry
from tests.objectstore.ending import Agents, Notes, World
from tests.objectstore.in_memory import InMemoryObjects

A = SessionKey("default", "a")


class Interrupted:
    """Objects as one process reaches them, which calls something before one of its requests.

    Args:
        before: the name of the request.
        then: called once, before one of them.
        skip: how many of them are to come before.
    """

    def __init__(
        self, objects: InMemoryObjects, before: str, then: Callable[[], object], skip: int = 0
    ) -> None:
        self._skip = skip
        self._objects = objects
        self._before = before
        self._then: Callable[[], object] | None = then

    def __getattr__(self, name: str) -> Any:
        if name == self._before and self._then is not None:
            self._skip -= 1
            if self._skip < 0:
                then, self._then = self._then, None
                then()
        return getattr(self._objects, name)


class AfterHead(Interrupted):
    """Calls it before the first listing of attachments that follows a written head."""

    def replace(self, key: str, data: bytes, tag: str) -> str | None:
        done = self._objects.replace(key, data, tag)
        self._before = "list"
        return done

    def list(self, prefix: str, after: str = "") -> Sequence[Entry]:
        listing: Sequence[Entry] = self.__getattr__("list")(prefix, after)
        return listing


def turn(cp: Agents, text: str) -> None:
    with cp.turn("a") as turn:
        turn.state.config["text"] = text


def test_who_clears_up_late_leaves_the_labels_of_those_who_came_after() -> None:
    """A deletion stands still before it removes labels; by then, others were set."""
    world = World()
    turn(world.process(), "one")

    def meanwhile() -> None:
        other = world.process()
        turn(other, "two")
        other.delete("a")
        turn(other, "three")
        other.label("a", "x")

    late = world.process(AfterHead(world.objects, "", meanwhile))
    late.label("a", "x")
    assert late.delete("a")
    assert world.process().restore("a", revision="x").state.config == {"text": "three"}


def test_labels_that_a_deletion_has_left_are_garbage() -> None:
    """As are those set by somebody who does not know of it yet."""
    world = World()
    cp = world.process()
    turn(cp, "one")
    stalled = world.process(Interrupted(world.objects, "put_many", lambda: cp.delete("a")))
    store: Any = stalled._engine.store
    store.attach(A, Attachment(0, "label/x", b"left"))
    turn(cp, "two")
    cp.label("a", "y")
    notes = folder_of(A).notes
    assert len([key for key in world.objects.kept if key.startswith(notes)]) == 2
    assert [note.name for note in store.attachments(A)] == ["label/y"]
    world.sweep()
    assert len([key for key in world.objects.kept if key.startswith(notes)]) == 1
    assert cp.restore("a", revision="y").state.config == {"text": "two"}


def test_the_id_is_there_before_pages_that_cannot_be_found_without() -> None:
    long = "long " + "x" * 400
    folder = folder_of(SessionKey("default", long))

    class Noting(InMemoryObjects):
        def put_many(self, objects: Mapping[str, bytes]) -> None:
            pages = [key for key in objects if key.startswith(folder.pages)]
            assert not pages or folder.path + ID in self.kept
            super().put_many(objects)

    world = World()
    world.objects = Noting()
    world.process().save(long, Notes(config={"text": "x" * 2_000_000}))
    assert folder.path + ID in world.objects.kept


@pytest.mark.parametrize(
    ("before", "skip"),
    [("list", 1), ("get", 0), ("get", 1), ("get", 2), ("replace", 0), ("get", 3), ("delete", 0)],
)
def test_a_segment_that_two_finish_at_once_is_not_removed_with_the_loser(
    before: str, skip: int
) -> None:
    """It is garbage of one, who stands still, and named by the other while it is collected."""
    world = World()
    turn(world.process(), "one")
    seen = []

    def overwrite() -> None:
        seen.append(before)
        world.now += 1
        world.process().overwrite("a", Notes(config={"text": "two"}))

    def collect() -> None:
        world.now += 1
        collector = world.process(Interrupted(world.objects, before, overwrite, skip))
        collector.prune("a", grace=dt.timedelta(0))

    loser = world.process(Interrupted(world.objects, "replace", collect))
    loser.overwrite("a", Notes(config={"text": "three"}))
    assert seen
    read = world.process()
    assert [snapshot.revision for snapshot in read.history("a")] == [3, 2, 1]
    assert read.verify("a") == []
    world.sweep()
    assert read.restore("a", revision=1).state.config == {"text": "one"}


def test_a_reader_whose_segment_goes_is_told_so_or_gets_its_state() -> None:
    world = World()
    cp = world.process()
    for text in "one", "two", "three":
        cp.overwrite("a", Notes(config={"text": text}))
    prune = Interrupted(world.objects, "get_many", lambda: cp.delete_revision("a", 1))
    with pytest.raises(RevisionPruned):
        world.process(prune).restore("a", revision=1)
    keep = Interrupted(world.objects, "get_many", lambda: cp.prune("a", Retention(keep_last=1)))
    assert [s.revision for s in world.process(keep).history("a")] == [3]
