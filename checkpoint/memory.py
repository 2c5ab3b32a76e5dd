"""``Memory[T]``: the list of an agent's memory items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableSequence
from typing import Any, SupportsIndex, TypeVar, cast, get_args, overload

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

T = TypeVar("T")


class Memory(MutableSequence[T]):
    """A typed list of memory items, for a field of a state.

    It behaves, compares and dumps as a list. Use it for what grows with the session (messages,
    events); a field annotated ``list[T]`` works too.

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

    __slots__ = ("_items",)
    __hash__ = None  # type: ignore[assignment]  # mutable, as a list is

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items: list[T] = list(items)

    # The five that MutableSequence builds the rest of a list's methods on …

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> T | list[T]:
        return self._items[index]

    @overload
    def __setitem__(self, index: SupportsIndex, value: T) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[T]) -> None: ...
    def __setitem__(self, index: SupportsIndex | slice, value: Any) -> None:
        self._items[index] = value

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        del self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def insert(self, index: SupportsIndex, value: T) -> None:
        """Insert before ``index``, as ``list.insert`` does."""
        self._items.insert(index, value)

    # … and what a list has beyond them, or does faster.

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __contains__(self, value: object) -> bool:
        return value in self._items

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Memory):
            return self._items == other._items
        return self._items == other if isinstance(other, list) else NotImplemented

    def __lt__(self, other: Memory[T] | list[T]) -> bool:
        return self._items < list(other)

    def __le__(self, other: Memory[T] | list[T]) -> bool:
        return self._items <= list(other)

    def __gt__(self, other: Memory[T] | list[T]) -> bool:
        return self._items > list(other)

    def __ge__(self, other: Memory[T] | list[T]) -> bool:
        return self._items >= list(other)

    def __mul__(self, times: SupportsIndex) -> list[T]:
        return self._items * times

    __rmul__ = __mul__

    def __add__(self, other: Iterable[T]) -> list[T]:
        return [*self._items, *other]

    def __radd__(self, other: Iterable[T]) -> list[T]:
        return [*other, *self._items]

    def __repr__(self) -> str:
        return f"Memory({self._items!r})"

    def copy(self) -> list[T]:
        """A plain list of the same items."""
        return self._items.copy()

    def __copy__(self) -> Memory[T]:
        return type(self)(self._items)

    def sort(self, *, key: Callable[[T], Any] | None = None, reverse: bool = False) -> None:
        """Sort in place, as ``list.sort`` does."""
        cast("list[Any]", self._items).sort(key=key, reverse=reverse)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        (item,) = get_args(source) or (Any,)
        items = handler.generate_schema(list[item])  # type: ignore[valid-type]
        return core_schema.no_info_wrap_validator_function(
            lambda value, validate: cls(validate(list(value) if isinstance(value, cls) else value)),
            items,
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda value, dump: dump(value._items if isinstance(value, cls) else value),
                schema=items,
            ),
        )
