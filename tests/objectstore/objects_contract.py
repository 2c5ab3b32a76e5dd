"""What every driver of objects must do; each driver's tests subclass it.

    class TestMine(ObjectsContract):
        @pytest.fixture
        def objects(self) -> Iterator[Objects]: ...   # an empty place

A server that checks conditions and then writes, in two steps, sets ``atomic`` to False.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TypeVar

import pytest

from checkpoint_objectstore._names import encoded, name_of
from checkpoint_objectstore.objects import Object, Objects

R = TypeVar("R")

ODD = ["", "a", "a b", "A", "aa", "ab", "a/b", "é", "😀", "..", ".", "%2F", "+", "~", "-", "=", "!"]
"""Ids whose names hold every character that keys are made of."""


class ObjectsContract:
    """The contract of :class:`checkpoint_objectstore.objects.Objects`."""

    atomic: bool = True
    many: int = 60
    """How many objects the tests of listings make."""
    rounds: int = 5
    writers: int = 4
    keeps_folders: bool = False
    """Folders are told for a while after their last object is gone."""

    @pytest.fixture
    def objects(self) -> Iterator[Objects]:
        """An empty place."""
        raise NotImplementedError

    def paging(self, objects: Objects, size: int) -> None:
        """Have listings come in parts of so many, where the driver can be told to."""

    # --- one object ------------------------------------------------------------------------------

    def test_an_object_that_is_not_there_is_none(self, objects: Objects) -> None:
        assert objects.get("a/b") is None
        assert objects.get("a/b", unless='"x"') is None
        assert objects.get_many(["a/b"]) == {}

    def test_what_is_created_is_read_back_with_its_tag(self, objects: Objects) -> None:
        data = bytes(range(256))
        tag = objects.create("a!/b!/head", data)
        assert tag
        assert objects.get("a!/b!/head") == Object(data, tag)

    def test_an_empty_object_is_there(self, objects: Objects) -> None:
        tag = objects.create("a", b"")
        assert tag
        assert objects.get("a") == Object(b"", tag)
        assert objects.get_many(["a"]) == {"a": b""}
        assert objects.get_many(["a"], first=10) == {"a": b""}

    def test_what_is_there_is_not_created_again(self, objects: Objects) -> None:
        tag = objects.create("a", b"1")
        assert objects.create("a", b"2") is None
        assert objects.create("a", b"1") is None
        assert objects.get("a") == Object(b"1", tag or "")

    def test_an_object_is_replaced_by_its_tag_once(self, objects: Objects) -> None:
        first = objects.create("a", b"1") or ""
        second = objects.replace("a", b"2", first)
        assert second
        assert second != first
        assert objects.replace("a", b"3", first) is None
        assert objects.get("a") == Object(b"2", second)
        third = objects.replace("a", b"3", second)
        assert third
        assert objects.get("a") == Object(b"3", third)

    def test_an_object_that_is_not_there_is_not_replaced(self, objects: Objects) -> None:
        tag = objects.create("a", b"1") or ""
        assert objects.replace("b", b"2", tag) is None
        objects.delete(["a"])
        assert objects.replace("a", b"2", tag) is None
        assert objects.get("a") is None
        assert objects.get("b") is None

    def test_an_empty_tag_is_that_of_no_object(self, objects: Objects) -> None:
        assert objects.replace("a", b"2", "") is None
        objects.create("a", b"1")
        assert objects.replace("a", b"2", "") is None
        assert (objects.get("a") or Object(b"", "")).data == b"1"

    def test_what_was_deleted_is_created_again(self, objects: Objects) -> None:
        objects.create("a", b"1")
        objects.delete(["a"])
        assert objects.get("a") is None
        assert objects.create("a", b"2")

    def test_an_object_that_has_not_changed_comes_without_its_data(self, objects: Objects) -> None:
        first = objects.create("a", b"1") or ""
        assert objects.get("a", unless=first) == Object(b"", first)
        second = objects.replace("a", b"22", first) or ""
        assert objects.get("a", unless=first) == Object(b"22", second)
        assert objects.get("a", unless=second) == Object(b"", second)

    def test_a_big_object(self, objects: Objects) -> None:
        data = random.Random(1).randbytes(16 << 20)
        tag = objects.create("a", data) or ""
        assert objects.get("a") == Object(data, tag)
        assert objects.get_many(["a"], first=100) == {"a": data[:100]}
        changed = data[:-1] + b"!"
        second = objects.replace("a", changed, tag) or ""
        assert objects.get("a", unless=tag) == Object(changed, second)

    def test_keys_of_every_character_are_told_apart(self, objects: Objects) -> None:
        written = {f"{name_of(id)}/head": id.encode() for id in ODD}
        for key, data in written.items():
            assert objects.create(key, data)
        assert objects.get_many(list(written)) == written

    def test_the_longest_keys(self, objects: Objects) -> None:
        part = name_of("é" * 300)
        key = f"{part}/{part}/notes/{0:016x}/{0:016x}/{part}"
        assert objects.create(key, b"1")
        assert [entry.key for entry in objects.list(f"{part}/{part}/notes/")] == [key]
        assert objects.folders(f"{part}/", "") == [part]

    # --- many at once ----------------------------------------------------------------------------

    def test_many_are_written_and_read_at_once(self, objects: Objects) -> None:
        written = {f"p/{n:04x}": b"%d" % n * (n % 7) for n in range(self.many)}
        objects.put_many(written)
        assert objects.get_many([*written, "p/none"]) == written
        some = objects.get_many(list(written), first=3)
        assert some == {key: data[:3] for key, data in written.items()}

    def test_nothing_is_written_and_read(self, objects: Objects) -> None:
        objects.put_many({})
        objects.delete([])
        assert objects.get_many([]) == {}

    def test_many_overwrite_what_is_there(self, objects: Objects) -> None:
        first = objects.create("a", b"1") or ""
        objects.put_many({"a": b"2", "b": b"3"})
        assert objects.get_many(["a", "b"]) == {"a": b"2", "b": b"3"}
        assert objects.replace("a", b"3", first) is None

    def test_the_start_of_an_object(self, objects: Objects) -> None:
        objects.put_many({"a": b"0123456789"})
        for first in (0, 1, 9, 10, 11):
            assert objects.get_many(["a", "b"], first=first) == {"a": b"0123456789"[:first]}

    # --- deleting --------------------------------------------------------------------------------

    def test_objects_are_deleted_and_others_stay(self, objects: Objects) -> None:
        objects.put_many(dict.fromkeys(("a/1", "a/2", "a/3", "b"), b"1"))
        objects.delete(["a/1", "a/3", "a/none"])
        assert [entry.key for entry in objects.list("")] == ["a/2", "b"]

    def test_what_is_not_there_is_deleted(self, objects: Objects) -> None:
        objects.delete(["a", "b/c"])
        objects.delete(["a"])

    # --- listing ---------------------------------------------------------------------------------

    def test_an_empty_place_lists_nothing(self, objects: Objects) -> None:
        assert objects.list("") == []
        assert objects.list("a/") == []
        assert objects.folders("a/", "") == []

    def test_entries_tell_size_and_time(self, objects: Objects) -> None:
        objects.put_many({"a": b"12345", "b": b""})
        entries = objects.list("")
        assert [(entry.key, entry.size) for entry in entries] == [("a", 5), ("b", 0)]
        now = time.time_ns() // 1000
        assert all(abs(now - entry.stored_at) < 600_000_000 for entry in entries)

    @pytest.mark.parametrize("size", [1000, 7])
    def test_a_listing_is_in_byte_order_in_any_number_of_parts(
        self, objects: Objects, size: int
    ) -> None:
        self.paging(objects, size)
        keys = {f"n!/{name_of(f'{n:x}')}/pages/{n:04x}" for n in range(self.many)}
        keys |= {f"n!/{name_of(id)}/head" for id in ODD}
        objects.put_many(dict.fromkeys([*keys, "m!/1", "o!/1", "n-2d!/1"], b"1"))
        assert listed(objects, "n!/") == sorted(keys)
        start = name_of("1")[:-1]
        assert listed(objects, f"n!/{start}") == sorted(
            key for key in keys if key.startswith(f"n!/{start}")
        )
        middle = sorted(keys)[len(keys) // 2]
        assert listed(objects, "n!/", middle) == [key for key in sorted(keys) if key > middle]
        assert listed(objects, "", "n!/~~~") == ["n-2d!/1", "o!/1"]

    @pytest.mark.parametrize("size", [1000, 7])
    def test_folders_are_in_byte_order_in_any_number_of_parts(
        self, objects: Objects, size: int
    ) -> None:
        self.paging(objects, size)
        ids = [f"{n:x}" for n in range(self.many // 3)] + ODD
        names = sorted({name_of(id) for id in ids})
        keys = [f"n!/{name}/{rest}" for name in names for rest in ("head", "pages/0", "pages/1")]
        objects.put_many(dict.fromkeys([*keys, "m!/a!/1", "n-2d!/a!/1", "n!/zz"], b"1"))
        assert named(objects, "n!/", "") == names
        start = encoded("1")
        assert named(objects, "n!/", start) == [name for name in names if name.startswith(start)]
        for after in (names[5], names[5][:-1], names[5][:-1] + "~", names[-1], "~~"):
            later = [name for name in names if name > after]
            assert named(objects, "n!/", "", after) == later, after

    def test_a_folder_whose_objects_are_gone_is_gone(self, objects: Objects) -> None:
        objects.put_many({"n!/a!/pages/1": b"1", "n!/b!/head": b"1"})
        assert named(objects, "n!/", "") == ["a!", "b!"]
        objects.delete(["n!/a!/pages/1"])
        assert objects.list("n!/a!/") == []
        assert named(objects, "n!/", "") in ([["b!"], ["a!", "b!"]][: 1 + self.keeps_folders])

    def test_what_is_below_a_folder_is_not_read_again(self, objects: Objects) -> None:
        self.paging(objects, 1)
        objects.put_many({f"n!/a!/{n}": b"1" for n in range(10)} | {"n!/b!/1": b"1"})
        assert named(objects, "n!/", "") == ["a!", "b!"]

    # --- at the same time ------------------------------------------------------------------------

    def test_of_several_that_create_one_wins(self, objects: Objects) -> None:
        if not self.atomic:
            pytest.skip("this server checks and writes in two steps; others are tried")
        for round in range(self.rounds):
            key = f"a/{round}"
            tags = raced(self.writers, partial(_create, objects, key))
            won = [n for n, tag in enumerate(tags) if tag]
            assert len(won) == 1
            assert objects.get(key) == Object(b"%d" % won[0], tags[won[0]] or "")

    def test_of_several_that_replace_one_wins(self, objects: Objects) -> None:
        if not self.atomic:
            pytest.skip("this server checks and writes in two steps; others are tried")
        tag = objects.create("a", b"") or ""
        for round in range(self.rounds):
            tags = raced(self.writers, partial(_replace, objects, tag, round))
            won = [n for n, new in enumerate(tags) if new]
            assert len(won) == 1
            tag = tags[won[0]] or ""
            assert objects.get("a") == Object(b"%d %d" % (round, won[0]), tag)

    def test_several_threads_use_many_objects_at_once(self, objects: Objects) -> None:
        def work(n: int) -> None:
            written = {f"{n}/{i}": b"%d" % i for i in range(20)}
            objects.put_many(written)
            assert objects.get_many(list(written)) == written

        raced(4, work)
        assert len(listed(objects, "")) == 80


def listed(objects: Objects, prefix: str, after: str = "") -> list[str]:
    """All keys, part by part."""
    found: list[str] = []
    while entries := objects.list(prefix, after):
        assert entries[0].key > after
        found += [entry.key for entry in entries]
        after = found[-1]
    return found


def named(objects: Objects, folder: str, prefix: str, after: str = "") -> list[str]:
    """All names, part by part."""
    found: list[str] = []
    while names := objects.folders(folder, prefix, after):
        assert names[0] > after
        found += names
        after = found[-1]
    return found


def raced(count: int, call: Callable[[int], R]) -> list[R]:
    """The results of a call for each number, made at the same moment."""
    together = Barrier(count)

    def run(n: int) -> R:
        together.wait()
        return call(n)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def _create(objects: Objects, key: str, n: int) -> str | None:
    return objects.create(key, b"%d" % n)


def _replace(objects: Objects, tag: str, round: int, n: int) -> str | None:
    return objects.replace("a", b"%d %d" % (round, n), tag)
