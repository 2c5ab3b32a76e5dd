"""The object that marks a place: conditions are tried on it, and nothing else is left."""

from __future__ import annotations

import pytest

from checkpoint.errors import NotAStore, StoreTooNew, StoreUnavailable, StoreUnsafe
from checkpoint_objectstore._layout import MARKER
from checkpoint_objectstore._sync.marker import check_place
from tests.objectstore.in_memory import InMemoryObjects

FINAL = b"agent-checkpoint objects 1\n"


class WithoutIfNoneMatch(InMemoryObjects):
    def create(self, key: str, data: bytes) -> str | None:
        self.kept.pop(key, None)
        return super().create(key, data)


class WithoutIfMatch(InMemoryObjects):
    def replace(self, key: str, data: bytes, tag: str) -> str | None:
        self.kept.pop(key, None)
        return super().create(key, data)


class RefusesAll(InMemoryObjects):
    def replace(self, key: str, data: bytes, tag: str) -> str | None:
        return None


def test_a_place_is_marked_once() -> None:
    objects = InMemoryObjects()
    check_place(objects)
    assert {key: data for key, (data, _) in objects.kept.items()} == {MARKER: FINAL}
    written = objects.kept.copy()
    check_place(objects)
    assert objects.kept == written


@pytest.mark.promise("no-overwrite")
@pytest.mark.parametrize("unsafe", [WithoutIfNoneMatch, WithoutIfMatch])
def test_a_place_without_conditions_is_refused_and_left_empty(
    unsafe: type[InMemoryObjects],
) -> None:
    objects = unsafe()
    with pytest.raises(StoreUnsafe):
        check_place(objects)
    assert objects.kept == {}


def test_a_place_that_refuses_what_it_must_do_is_unsafe() -> None:
    with pytest.raises(StoreUnsafe):
        check_place(RefusesAll())


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"agent-checkpoint objects 2\n", StoreTooNew),
        (b"agent-checkpoint objects\n", NotAStore),
        (b"something else", NotAStore),
        (b"", NotAStore),
    ],
)
def test_what_another_has_put_there_is_left_alone(data: bytes, error: type[Exception]) -> None:
    objects = InMemoryObjects()
    objects.create(MARKER, data)
    with pytest.raises(error):
        check_place(objects)
    assert objects.kept[MARKER][0] == data


class EndsAfter(InMemoryObjects):
    """Lets some writes through, and then no more."""

    writes = 0

    def create(self, key: str, data: bytes) -> str | None:
        self._count()
        return super().create(key, data)

    def replace(self, key: str, data: bytes, tag: str) -> str | None:
        self._count()
        return super().replace(key, data, tag)

    def _count(self) -> None:
        self.writes -= 1
        if self.writes < 0:
            raise StoreUnavailable("it ended")


@pytest.mark.parametrize("writes", range(5))
def test_who_ends_in_the_middle_leaves_it_to_the_next(writes: int) -> None:
    objects = EndsAfter()
    objects.writes = writes
    with pytest.raises(StoreUnavailable):
        check_place(objects)
    objects.writes = 100
    check_place(objects)
    assert {key: data for key, (data, _) in objects.kept.items()} == {MARKER: FINAL}


class Overtaken(InMemoryObjects):
    """Has another process do the same before each of the first calls."""

    others = 3

    def create(self, key: str, data: bytes) -> str | None:
        self._another()
        return super().create(key, data)

    def replace(self, key: str, data: bytes, tag: str) -> str | None:
        self._another()
        return super().replace(key, data, tag)

    def _another(self) -> None:
        if self.others > 0:
            self.others -= 1
            check_place(self)


def test_two_who_try_at_once_do_not_find_each_other_unsafe() -> None:
    objects = Overtaken()
    check_place(objects)
    assert {key: data for key, (data, _) in objects.kept.items()} == {MARKER: FINAL}
