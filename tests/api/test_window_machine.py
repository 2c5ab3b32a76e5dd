"""A memory restored with a window, held against a plain list step by step, over many revisions."""

from __future__ import annotations

import asyncio
import copy
import operator
import pickle
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from checkpoint import AsyncCheckpointer, Conflict, Memory, NotLoaded

from ..effort import examples
from .apis import Place
from .windows import Note, Notes, note, notes, small_pages

SESSION = "user-42"
Step = Callable[[Any], Any]
NUMBERS = st.integers(100, 109)
INDEXES = st.integers(-70, 70)
BOUNDS = st.none() | INDEXES
SLICES = st.builds(slice, BOUNDS, BOUNDS, st.sampled_from([None, None, None, 1, 2, -1]))
WINDOWS = st.none() | st.sampled_from([1, 2, 7, 25, 1000])
FEW = st.lists(NUMBERS, max_size=4)


def copied(items: list[Note]) -> list[Note]:
    return [item.model_copy(deep=True) for item in items]


def each_copied(items: Iterable[Note]) -> Iterator[Note]:
    """Lazily: the items are asked for while they are being set."""
    return (item.model_copy(deep=True) for item in items)


def outcome(step: Step, subject: Any) -> Any:
    """What a step returns, or the kind of error it raises."""
    try:
        return step(subject)
    except NotLoaded:
        raise
    except Exception as exc:  # noqa: BLE001 - the kind of it is what is compared
        return type(exc)


class WindowMachine(RuleBasedStateMachine):
    """Each step is done to a memory and to a plain list; each revision is noted as a list."""

    api: ClassVar[str]
    store: ClassVar[str]

    @initialize(count=st.integers(0, 60), patches=st.sampled_from([0, 1, 3, None]), window=WINDOWS)
    def begin(self, count: int, patches: int | None, window: int | None) -> None:
        self.stack = ExitStack()
        self.stack.enter_context(small_pages(patches=patches))
        self.runner = self.stack.enter_context(asyncio.Runner())
        directory = self.stack.enter_context(tempfile.TemporaryDirectory())
        url = "memory://" if self.store == "memory" else f"sqlite:///{directory}/agents.db"
        self.place = Place(self.api, url)
        self.replicas = [self.place.open(Notes), self.place.open(Notes, cache_bytes=0)]
        self.revisions: dict[int, list[Note]] = {}
        self.run(self.replicas[0].save(SESSION, Notes(memory=Memory(notes(count)))))
        self.note_revision(1, notes(count))
        self.restored(window, replica=1)

    def teardown(self) -> None:
        if not hasattr(self, "stack"):
            return
        try:
            self.run(self.check_all_revisions())
        finally:
            self.runner.close()
            self.place.close()
            self.stack.close()

    async def check_all_revisions(self) -> None:
        cold = self.place.open(Notes, cache_bytes=0)
        for revision, expected in self.revisions.items():
            for window in (None, 5):
                restored = await cold.restore(SESSION, revision=revision, window=window)
                await restored.state.memory.load()
                assert restored.state.memory == expected, revision
        history = await cold.history(SESSION)
        assert [snapshot.revision for snapshot in history] == sorted(self.revisions)[::-1]

    # --- helpers ---------------------------------------------------------------------------------

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    @property
    def memory(self) -> Memory[Note]:
        memory: Memory[Note] = self.state.memory
        return memory

    @property
    def newest(self) -> int:
        return max(self.revisions)

    def note_revision(self, revision: int, items: list[Note]) -> None:
        assert revision == len(self.revisions) + 1
        self.revisions[revision] = copied(items)

    def restored(self, window: int | None, replica: int, revision: int | None = None) -> None:
        self.cp: AsyncCheckpointer[Notes] = self.replicas[replica]
        got = self.run(self.cp.restore(SESSION, window=window, revision=revision))
        assert got.revision == (revision or self.newest)
        self.state, self.revision = got.state, got.revision
        self.plain = copied(self.revisions[self.revision])

    def both(self, step: Step) -> None:
        """Do it to both; asynchronous code may have to load the items first, and is told so."""
        theirs = outcome(step, self.plain)
        try:
            mine = outcome(step, self.memory)
        except NotLoaded:
            assert self.api == "async"
            self.run(self.memory.load())
            mine = outcome(step, self.memory)
        assert mine == theirs
        assert type(mine) is type(theirs)

    # --- what needs no item that is not loaded ---------------------------------------------------

    @rule(n=NUMBERS)
    def append(self, n: int) -> None:
        self.memory.append(note(n))
        self.plain.append(note(n))

    @rule(numbers=FEW)
    def extend(self, numbers: list[int]) -> None:
        for items in (self.memory, self.plain):
            items.extend(map(note, numbers))

    @rule(index=INDEXES, n=NUMBERS)
    def insert(self, index: int, n: int) -> None:
        for items in (self.memory, self.plain):
            items.insert(index, note(n))

    @rule(start=BOUNDS, stop=BOUNDS)
    def delete_several(self, start: int | None, stop: int | None) -> None:
        del self.memory[start:stop], self.plain[start:stop]

    @rule(start=BOUNDS, stop=BOUNDS, numbers=FEW)
    def replace_several(self, start: int | None, stop: int | None, numbers: list[int]) -> None:
        for items in (self.memory, self.plain):
            items[start:stop] = map(note, numbers)

    @rule(index=INDEXES, n=NUMBERS)
    def replace(self, index: int, n: int) -> None:
        def step(items: Any) -> None:
            items[index] = note(n)

        assert outcome(step, self.memory) == outcome(step, self.plain)

    @rule(index=INDEXES)
    def delete(self, index: int) -> None:
        def step(items: Any) -> None:
            del items[index]

        assert outcome(step, self.memory) == outcome(step, self.plain)

    @rule(sure=st.integers(0, 5))
    def clear(self, sure: int) -> None:
        if not sure:
            self.memory.clear()
            self.plain.clear()

    # --- what may need some ----------------------------------------------------------------------

    @rule(start=BOUNDS, stop=BOUNDS)
    def load(self, start: int | None, stop: int | None) -> None:
        self.run(self.memory.load(start or 0, stop))
        assert self.memory[start or 0 : stop] == self.plain[start or 0 : stop]

    @rule(index=INDEXES | SLICES)
    def get(self, index: Any) -> None:
        self.both(operator.itemgetter(index))

    @rule(index=st.none() | INDEXES)
    def pop(self, index: int | None) -> None:
        self.both(lambda items: items.pop() if index is None else items.pop(index))

    @rule(index=INDEXES, what=st.sampled_from(["text", "tags"]))
    def edit_in_place(self, index: int, what: str) -> None:
        def step(items: Any) -> None:
            if what == "text":
                items[index].text += "edited "
            else:
                items[index].tags.append("seen")

        self.both(step)

    @rule(where=SLICES, numbers=FEW)
    def set_slice(self, where: slice, numbers: list[int]) -> None:
        self.both(lambda items: operator.setitem(items, where, map(note, numbers)))

    @rule(where=SLICES)
    def delete_slice(self, where: slice) -> None:
        self.both(lambda items: operator.delitem(items, where))

    @rule(where=SLICES)
    def set_slice_to_a_part_of_itself(self, where: slice) -> None:
        if len(self.plain) < 60:
            self.both(lambda items: operator.setitem(items, where, each_copied(items)))

    @rule(n=NUMBERS | st.integers(0, 60))
    def find(self, n: int) -> None:
        self.both(lambda items: items.index(note(n)))
        self.both(lambda items: (note(n) in items, items.count(note(n))))

    @rule(n=NUMBERS | st.integers(0, 60))
    def remove(self, n: int) -> None:
        self.both(lambda items: items.remove(note(n)))

    @rule()
    def reverse(self) -> None:
        self.both(lambda items: items.reverse())

    @rule(falling=st.booleans())
    def sort(self, falling: bool) -> None:
        self.both(lambda items: items.sort(key=lambda item: item.text, reverse=falling))

    @rule(stop=st.integers(0, 70))
    def iterate(self, stop: int) -> None:
        self.both(list)
        self.both(lambda items: [item for item, _ in zip(items, range(stop), strict=False)])

    @rule(stop=st.integers(0, 70))
    def iterate_backwards(self, stop: int) -> None:
        self.both(lambda items: [i for i, _ in zip(reversed(items), range(stop), strict=False)])

    @rule()
    def add(self) -> None:
        self.both(lambda items: operator.add(items, [note(1)]))
        self.both(lambda items: operator.add([note(1)], items))

    @rule(other=st.sampled_from(["itself", "shorter", "edited"]))
    def compare(self, other: str) -> None:
        against = copied(self.plain)
        if other == "shorter":
            against = against[1:]
        elif other == "edited" and against:
            against[0].text += "!"
        self.both(lambda items: (items == against, items != against))
        self.both(lambda items: against == items)

    # --- copies ----------------------------------------------------------------------------------

    @rule(how=st.sampled_from([copy.copy, copy.deepcopy]))
    def a_copy_is_its_own(self, how: Callable[[Any], Any]) -> None:
        other = how(self.memory)
        assert type(other) is Memory
        other.insert(0, note(1))
        del other[-1:]
        other.append(note(2))
        self.run(other.load())
        expected = [note(1), *self.plain][: len(self.plain)]
        assert other == [*expected, note(2)]
        if how is copy.deepcopy and len(other) > 2:
            other[1].text += "of the copy"

    @rule(how=st.sampled_from(["deepcopy", "model_copy"]))
    def go_on_with_a_copy_of_the_state(self, how: str) -> None:
        parent = self.run(self.cp.restore(SESSION, revision=self.revision)).snapshot
        if how == "deepcopy":
            self.state = copy.deepcopy(self.state)
        else:
            self.state = self.state.model_copy(update={"cursors": {}}, deep=True)
        self.run(self.memory.load())
        self.check_saved(self.run(self.save(parent=parent)))

    @rule(mode=st.sampled_from(["python", "json"]))
    def dump(self, mode: Any) -> None:
        self.run(self.memory.load())
        expected = [item.model_dump(mode=mode) for item in self.plain]
        assert self.state.model_dump(mode=mode)["memory"] == expected
        assert Notes.model_validate_json(self.state.model_dump_json()).memory == self.plain

    @rule()
    def pickle(self) -> None:
        self.run(self.memory.load())
        other = pickle.loads(pickle.dumps(self.memory))
        assert type(other) is Memory
        assert other == self.plain

    # --- revisions -------------------------------------------------------------------------------

    async def save(self, **how: Any) -> Any:
        try:
            return await self.cp.save(SESSION, self.state, **how)
        except Conflict:
            return None

    def check_saved(self, snapshot: Any, *, branch: bool = False) -> None:
        """What became of a save, as it has to be; ours is the newest state after it."""
        changed = self.plain != self.revisions[self.revision]
        if not changed:
            assert snapshot.revision == self.revision
        elif self.revision == self.newest or branch:
            assert snapshot.revision == self.newest + 1
            assert snapshot.parent_revision == self.revision
            self.note_revision(snapshot.revision, self.plain)
            self.revision = snapshot.revision
        else:
            assert snapshot is None, "others were first"

    @rule()
    def save_it(self) -> None:
        self.check_saved(self.run(self.save()))

    @rule()
    def save_it_as_a_branch(self) -> None:
        self.check_saved(self.run(self.save(branch=True)), branch=True)

    @rule()
    def overwrite(self) -> None:
        try:
            snapshot = self.run(self.cp.overwrite(SESSION, self.state))
        except NotLoaded:
            assert self.api == "async"
            self.run(self.memory.load())
            snapshot = self.run(self.cp.overwrite(SESSION, self.state))
        self.note_revision(snapshot.revision, self.plain)
        self.revision = snapshot.revision

    @rule(window=WINDOWS, replica=st.integers(0, 1))
    def restore(self, window: int | None, replica: int) -> None:
        self.restored(window, replica)

    @rule(window=WINDOWS, replica=st.integers(0, 1), which=st.integers(1, 99))
    def restore_another(self, window: int | None, replica: int, which: int) -> None:
        self.restored(window, replica, 1 + which % self.newest)

    @rule(window=WINDOWS, replica=st.integers(0, 1), numbers=FEW, drop=st.integers(0, 3))
    def a_turn(self, window: int | None, replica: int, numbers: list[int], drop: int) -> None:
        """Somebody else's, or ours: what is held becomes old either way."""

        async def take() -> int:
            async with self.replicas[replica].turn(SESSION, window=window) as turn:
                turn.state.memory.extend(map(note, numbers))
                del turn.state.memory[:drop]
                if window and turn.state.memory:
                    turn.state.memory[-1].tags.append("turn")
            return turn.revision

        before = copied(self.revisions[self.newest])
        after = [*copied(before), *map(note, numbers)][drop:]
        if window and after:
            after[-1].tags.append("turn")
        revision = self.run(take())
        if after != before:
            self.note_revision(revision, after)
        assert revision == self.newest

    @rule(revision=st.integers(1, 99))
    def roll_back(self, revision: int) -> None:
        to = 1 + revision % self.newest
        snapshot = self.run(self.cp.rollback(SESSION, to))
        self.note_revision(snapshot.revision, self.revisions[to])

    @precondition(lambda self: self.revision == self.newest)
    @rule(numbers=FEW)
    def another_memory(self, numbers: list[int]) -> None:
        self.state.memory = Memory(map(note, numbers))
        self.plain = list(map(note, numbers))

    @invariant()
    def what_is_loaded_is_what_it_should_be(self) -> None:
        if hasattr(self, "plain"):
            assert len(self.memory) == len(self.plain)
            assert bool(self.memory) == bool(self.plain)
            lazy = self.memory._lazy
            assert 0 <= lazy.count_loaded() <= len(self.plain)
            for index, item in lazy.live():
                assert item == self.plain[index]
            if lazy.count_loaded() < len(self.plain):
                assert f"{len(self.plain)} items" in repr(self.memory)


def machine(api: str, store: str) -> type[Any]:
    made = type(f"{api}_{store}", (WindowMachine,), {"api": api, "store": store})
    case: type[Any] = made.TestCase  # type: ignore[attr-defined]
    case.settings = examples(40)
    return case


TestSyncMemory = machine("sync", "memory")
TestAsyncMemory = machine("async", "memory")
TestSyncSqlite = machine("sync", "sqlite")
TestAsyncSqlite = machine("async", "sqlite")
