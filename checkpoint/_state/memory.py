"""``Memory[T]``: the list of an agent's memory items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableSequence
from contextlib import contextmanager
from copy import deepcopy
from operator import index as as_index
from threading import RLock
from typing import Any, NamedTuple, SupportsIndex, TypeVar, cast, get_args, overload

from pydantic import GetCoreSchemaHandler, SerializationInfo, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from checkpoint._document.items import ItemList, NewItems
from checkpoint._ids import SessionKey
from checkpoint._state.lazy import LazyItems, built

T = TypeVar("T")

_CHUNK = 512  # items that an iteration builds at once

MEMORY = "checkpoint.Memory"
"""Metadata key that marks the core schema of a memory."""


class Dump(NamedTuple):
    """A dump for a save; the context of the dump has it under this class.

    Attributes:
        key: the session that the state is saved to.
        saved: for each memory in a field, by its ``id()``, the list as it was last saved.
        pack: encodes an item.
    """

    key: SessionKey
    saved: dict[int, ItemList | None]
    pack: Callable[[object], bytes]


class Memory(MutableSequence[T]):
    """A typed list of memory items, for a field of a state.

    It behaves, compares and dumps like a list. Use it for lists that grow with the session
    (messages, events): an item of a restored memory is built when it is touched, and an untouched
    one costs nothing when the state is saved. Items of a model declared ``frozen=True``, with
    immutable fields, are built once and shared by all states, and cost nothing even if touched. A
    field annotated ``list[T]`` works too, but is built in full each time.

    Restored with ``window=``, it is still the whole list: its length is known, its end is loaded,
    and older items come from the store when accessed. In asynchronous code, load them first:
    ``await memory.load(start, stop)``. Items that are not loaded can still be replaced or deleted,
    others can be inserted between them, and saving loads nothing.

    Args:
        items: the first items, in order.

    Example:
        >>> from checkpoint import AgentState, Memory
        >>> class Notes(AgentState, schema="notes", version=1):
        ...     memory: Memory[str] = Memory()
        >>> notes = Notes(memory=["a"])
        >>> notes.memory.append("b")
        >>> notes.memory == ["a", "b"], notes.memory[-1], len(notes.memory)
        (True, 'b', 2)
        >>> notes.model_dump()
        {'config': {}, 'memory': ['a', 'b'], 'cursors': {}}
    """

    __module__ = "checkpoint"

    __slots__ = ("_lazy",)
    __hash__ = None  # type: ignore[assignment]  # mutable, as a list is

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._lazy = LazyItems([list(items)])

    async def load(self, start: int = 0, stop: int | None = None) -> None:
        """Load items of a memory restored with ``window=``, in asynchronous code.

        Args:
            start, stop: the range, as in a slice: ``load(-200)`` loads the last 200. Default: all.

        Raises:
            RevisionPruned: a retention rule removed the items since the memory was restored.
            InvalidState: an item does not fit the model.
            Damaged: a page is missing, or was changed in the store.

        Example:
            >>> import asyncio
            >>> asyncio.run(Memory(["all here"]).load())
        """
        first, last, _ = slice(start, stop).indices(len(self))
        await self._lazy.load_async(first, max(first, last))

    # The five methods from which MutableSequence derives the others.

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> T | list[T]:
        if (place := _place(index, len(self))) is None:
            return self.copy()[index]
        if isinstance(index, slice):
            return self._lazy.get(*place)
        item: T = self._lazy.item(place[0])
        return item

    @overload
    def __setitem__(self, index: SupportsIndex, value: T) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[T]) -> None: ...
    def __setitem__(self, index: SupportsIndex | slice, value: Any) -> None:
        if isinstance(index, slice):
            value = list(value)  # first: it may be made of this memory
        if (place := _place(index, len(self))) is None:
            with self._whole() as items:
                items[index] = value
        else:
            self._lazy.replace(*place, value if isinstance(index, slice) else [value])

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        if (place := _place(index, len(self))) is None:
            with self._whole() as items:
                del items[index]
        else:
            self._lazy.replace(*place, [])

    def __len__(self) -> int:
        return len(self._lazy)

    def insert(self, index: SupportsIndex, value: T) -> None:
        """Insert before ``index``, as ``list.insert`` does."""
        at, _, _ = slice(as_index(index), None).indices(len(self))
        self._lazy.replace(at, at, [value])

    # Other methods of a list, and those that are faster here.

    def append(self, value: T) -> None:
        """Add an item at the end."""
        self._lazy.append(value)

    def __iter__(self) -> Iterator[T]:
        lazy = self._lazy
        lazy.load(0, len(lazy))  # all of them at once
        at = 0
        while at < len(lazy):
            edits = lazy.edits
            for item in lazy.get(at, min(at + _CHUNK, len(lazy))):
                yield item
                at += 1
                if edits != lazy.edits:
                    break  # continue at this place of the edited list, as a list does

    def __reversed__(self) -> Iterator[T]:
        self._lazy.load(0, len(self))  # all of them at once
        for stop in range(len(self), 0, -_CHUNK):
            yield from reversed(self._lazy.get(max(stop - _CHUNK, 0), stop))

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """The place of the first item that equals a value, as ``list.index`` does."""
        first, last, _ = slice(start, stop).indices(len(self))
        return first + self._lazy.get(first, max(first, last), keep=False).index(value)

    def count(self, value: Any) -> int:
        """How many items equal a value."""
        return self._seen().count(value)

    def __contains__(self, value: object) -> bool:
        return any(value in items for items in self._lazy.in_parts())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Memory, list)):
            return NotImplemented
        return self is other or (len(self) == len(other) and self._seen() == _seen(other))

    def __lt__(self, other: Memory[T] | list[T]) -> bool:
        return self._seen() < _seen(other)

    def __le__(self, other: Memory[T] | list[T]) -> bool:
        return self._seen() <= _seen(other)

    def __gt__(self, other: Memory[T] | list[T]) -> bool:
        return self._seen() > _seen(other)

    def __ge__(self, other: Memory[T] | list[T]) -> bool:
        return self._seen() >= _seen(other)

    def __mul__(self, times: SupportsIndex) -> list[T]:
        return self.copy() * times

    __rmul__ = __mul__

    def __add__(self, other: Iterable[T]) -> list[T]:
        return [*self.copy(), *other]

    def __radd__(self, other: Iterable[T]) -> list[T]:
        return [*other, *self.copy()]

    def __repr__(self) -> str:
        loaded = self._lazy.count_loaded()
        if loaded == len(self):
            return f"Memory({self._seen()!r})"
        return f"<Memory of {len(self)} items, {loaded} of them loaded>"

    def clear(self) -> None:
        """Remove all items."""
        del self[:]

    def reverse(self) -> None:
        """Reverse in place."""
        with self._whole() as items:
            items.reverse()

    def copy(self) -> list[T]:
        """A plain list of the same items."""
        return self._lazy.get(0, len(self))

    def __copy__(self) -> Memory[T]:
        return self._of(self._lazy.copy(lambda items, _: list(items)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Memory[T]:
        return self._of(self._lazy.copy(lambda items, _: deepcopy(items, memo)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._seen(),)

    def sort(self, *, key: Callable[[T], Any] | None = None, reverse: bool = False) -> None:
        """Sort in place, as ``list.sort`` does."""
        with self._whole() as items:
            cast("list[Any]", items).sort(key=key, reverse=reverse)

    def _seen(self) -> list[T]:
        """All items, not to be changed or handed out."""
        return self._lazy.get(0, len(self), keep=False)

    @contextmanager
    def _whole(self) -> Iterator[list[T]]:
        """All items as a list, to be changed in place."""
        items = self.copy()
        before = len(items)
        try:
            yield items
        finally:  # a sort that fails leaves a list changed
            self._lazy.replace(0, before, items)

    # --- as a field of a model -------------------------------------------------------------------

    @classmethod
    def _of(cls, lazy: LazyItems) -> Memory[T]:
        memory = cls()
        memory._lazy = lazy
        return memory

    @classmethod
    def _validated(
        cls, value: Any, validate: Callable[[Any], list[T]], item_type: object
    ) -> Memory[T]:
        if isinstance(value, NewItems):
            return cls._of(built(value, _numbered(validate), item_type))
        if isinstance(value, Memory):
            if value._lazy.item_type == item_type:  # else untouched items have another type
                return cls._of(value._lazy.copy(_numbered(validate)))
            value = value.copy()
        return cls._of(LazyItems([validate(value)], item_type=item_type))

    def _dumped(self, dump: Callable[[Any], Any], context: object) -> Any:
        about = context.get(Dump) if isinstance(context, dict) else None
        if not isinstance(about, Dump) or id(self) not in about.saved:
            return dump(self._seen())

        def packed(items: list[T]) -> list[bytes]:
            return list(map(about.pack, dump(items)))

        if self._lazy.is_of(about.key, about.saved[id(self)]):
            return self._lazy.dumped(packed)
        return NewItems([packed(self.copy())])

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        (item,) = get_args(source) or (Any,)
        items = handler.generate_schema(list[item])  # type: ignore[valid-type]

        def dumped(value: Any, dump: Any, info: SerializationInfo) -> Any:
            return value._dumped(dump, info.context) if isinstance(value, cls) else dump(value)

        def validated(value: Any, validate: Any) -> Memory[T]:
            return cls._validated(value, validate, item)

        return core_schema.no_info_wrap_validator_function(
            validated,
            items,
            serialization=core_schema.wrap_serializer_function_ser_schema(
                dumped, schema=items, info_arg=True
            ),
            metadata={MEMORY: True},
        )


def _seen(items: Memory[T] | list[T]) -> list[T]:
    return items._seen() if isinstance(items, Memory) else items


def _place(index: SupportsIndex | slice, length: int) -> tuple[int, int] | None:
    """The range of items that an index or a slice selects; None for a slice with steps.

    Raises:
        IndexError: the index is out of range.
    """
    if isinstance(index, slice):
        start, stop, step = index.indices(length)
        return (start, max(start, stop)) if step == 1 else None
    at = as_index(index)
    if not -length <= at < length:
        raise IndexError("Memory index out of range")
    return at % length, at % length + 1


def _numbered(validate: Callable[[Any], list[Any]]) -> Callable[[list[Any], int], list[Any]]:
    """A validator of some items, whose errors name their places in the whole list.

    It takes a lock: pydantic's validator refuses a second thread while it runs a model's code.
    """
    lock = RLock()

    def validated(items: list[Any], place: int) -> list[Any]:
        try:
            with lock:
                return validate(items)
        except ValidationError as exc:
            details = [
                InitErrorDetails(
                    type=PydanticCustomError(cast("Any", error["type"]), cast("Any", error["msg"])),
                    loc=tuple(
                        key + place if depth == 0 and isinstance(key, int) else key
                        for depth, key in enumerate(error["loc"])
                    ),
                    input=error["input"],
                )
                for error in exc.errors(include_url=False, include_context=False)
            ]
            raise ValidationError.from_exception_data(exc.title, details) from exc

    return validated
