"""What would not come back fails before anything is written, with the path where it is."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgpack
import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretBytes,
    SecretStr,
    SerializeAsAny,
    field_validator,
)

import checkpoint
from checkpoint import Checkpointer, CheckpointError, Memory, NotSerializable

pytestmark = pytest.mark.promise("same-state")


class Mood(StrEnum):
    GOOD = "good"


class Size(IntEnum):
    BIG = 3


class Level(Enum):
    LOW = 1


class Str(str):
    __slots__ = ()


class Int(int):
    pass


class Float(float):
    """As numpy's float64 is a float."""


class List(list[Any]):
    pass


class Moment(dt.datetime):
    """As the timestamps of pandas and pendulum are datetimes."""


class Scalar:
    """A number as numpy has them: it converts to int and float, and is neither."""

    def __int__(self) -> int:
        return 3

    def __float__(self) -> float:
        return 3.0

    def item(self) -> int:
        return 3


class Zone(dt.tzinfo):
    """A time zone as pytz has them: it knows its offset and has no name to find it by."""

    def utcoffset(self, at: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=1)

    def dst(self, at: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta()

    def tzname(self, at: dt.datetime | None) -> str:
        return "CET"


class Point(NamedTuple):
    x: int = 0


@dataclasses.dataclass(frozen=True)
class Pair:
    left: float = 0.0
    right: Any = None
    silent: Any = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True)
class Triple(Pair):
    more: int = 0


class Message(BaseModel):
    role: str = "user"
    callback: Any = None


class ToolMessage(Message):
    tool: str = "search"


class State(BaseModel):
    """Each kind of place, so that every value below has one where it does not belong."""

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)

    value: Any = None
    config: dict[str, Any] = {}
    text: str = ""
    number: int = 0
    real: float = 0.0
    at: dt.datetime | None = None
    tags: list[str] = []
    optional: Message | None = None
    memory: list[Message] = []
    items: Memory[Message] = Memory()
    by_name: dict[str, Message] = {}
    pairs: list[Pair] = []
    secret: SecretStr | None = None
    secrets: list[SecretBytes] = []
    any_message: SerializeAsAny[Message] | None = None


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


def cyclic_list() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def cyclic_dict() -> dict[str, Any]:
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    return cycle


def cyclic_tuple() -> tuple[Any, ...]:
    inner: list[Any] = []
    inner.append((inner,))
    return (inner,)


# What has no business in an untyped place, and a word of what is said of it.
UNTYPED: dict[str, tuple[Callable[[], Any], str]] = {
    "function": (lambda: print_nothing, "function"),
    "lambda": (lambda: lambda: None, "function"),
    "builtin": (lambda: print, "builtin_function_or_method"),
    "class": (lambda: int, "type"),
    "module": (lambda: re, "module"),
    "lock": (threading.Lock, "lock"),
    "object": (object, "object"),
    "exception": (lambda: ValueError("a"), "ValueError"),
    "complex": (lambda: 1j, "complex"),
    "range": (lambda: range(3), "range"),
    "ellipsis": (lambda: ..., "ellipsis"),
    "generator": (lambda: (n for n in range(3)), "generator"),
    "iterator": (lambda: iter([1]), "list_iterator"),
    "keys of a dict": ({"a": 1}.keys, "dict_keys"),
    "numpy-like number": (Scalar, "Scalar"),
    "float subclass": (lambda: Float(1.5), "Float"),
    "int subclass": (lambda: Int(1), "Int"),
    "str subclass": (lambda: Str("a"), "Str"),
    "list subclass": (lambda: List([1]), "List"),
    "datetime subclass": (lambda: Moment(2024, 1, 1), "Moment"),
    "enum": (lambda: Level.LOW, "Level"),
    "str enum": (lambda: Mood.GOOD, "Mood"),
    "int enum": (lambda: Size.BIG, "Size"),
    "named tuple": (lambda: Point(1), "Point"),
    "dataclass": (Pair, "Pair"),
    "model": (Message, "Message"),
    "memory": (lambda: Memory([1]), "Memory"),
    "defaultdict": (lambda: defaultdict(list, a=[1]), "defaultdict"),
    "ordered dict": (lambda: OrderedDict(a=1), "OrderedDict"),
    "counter": (lambda: Counter("aa"), "Counter"),
    "deque": (lambda: deque([1]), "deque"),
    "bytearray": (lambda: bytearray(b"a"), "bytearray"),
    "memoryview": (lambda: memoryview(b"a"), "memoryview"),
    "path": (lambda: Path("/tmp"), "PosixPath"),
    "pattern": (lambda: re.compile("a"), "Pattern"),
    "secret": (lambda: SecretStr("hunter2"), "SecretStr"),
    "pytz-like zone": (lambda: dt.datetime(2024, 1, 1, tzinfo=Zone()), "time zone"),
    "time with a pytz-like zone": (lambda: dt.time(1, tzinfo=Zone()), "time zone"),
    "zone by itself": (lambda: ZoneInfo("UTC"), "ZoneInfo"),
    "extension of messagepack": (lambda: msgpack.ExtType(1, b"\x90"), "ExtType"),
    "unknown extension": (lambda: msgpack.ExtType(99, b""), "ExtType"),
    "list in itself": (cyclic_list, "itself"),
    "dict in itself": (cyclic_dict, "itself"),
    "tuple in itself": (cyclic_tuple, "itself"),
    "key that is an enum": (lambda: {Level.LOW: 1}, "Level"),
    "key that is a str enum": (lambda: {Mood.GOOD: 1}, "Mood"),
    "key that is a dataclass": (lambda: {Pair(): 1}, "Pair"),
    "key that is a function": (lambda: {print_nothing: 1}, "function"),
    "member that is an enum": (lambda: {Level.LOW}, "Level"),
    "member that is a str enum": (lambda: frozenset({Mood.GOOD}), "Mood"),
    "member that is a dataclass": (lambda: {Pair()}, "Pair"),
    "member that is a named tuple": (lambda: {Point(1)}, "Point"),
}

INNER = {  # where inside of the value the path ends, if it is not the value itself
    "key that is an enum": "[<Level.LOW: 1>]",
    "key that is a str enum": "[<Mood.GOOD: 'good'>]",
}


def print_nothing() -> None:
    """A function, to be found in a state."""


def refused(cp: Checkpointer[Any], change: Callable[[Any], None]) -> NotSerializable:
    """Make a change in a turn that must be refused; nothing may have been written."""
    before = [(info.session_id, info.revision) for info in cp.sessions()]
    stored = cp.document("user-42")
    with pytest.raises(NotSerializable) as caught, cp.turn("user-42") as turn:
        change(turn.state)
    with pytest.raises(NotSerializable):
        cp.save("another", turn.state)
    assert [(info.session_id, info.revision) for info in cp.sessions()] == before
    assert cp.document("user-42") == stored
    assert (caught.value.session_id, caught.value.namespace) == ("user-42", "default")
    assert f"at {caught.value.path}: " in str(caught.value)
    assert "hunter2" not in str(caught.value)
    return caught.value


@pytest.fixture
def dicts() -> Iterator[Checkpointer[Any]]:
    with checkpoint.open("memory://") as cp:
        cp.save("user-42", {"memory": [1]})
        yield cp


@pytest.fixture
def models() -> Iterator[Checkpointer[Any]]:
    with checkpoint.open("memory://", State) as cp:
        cp.save("user-42", State())
        yield cp


def check_path(error: NotSerializable, place: str, name: str) -> None:
    """The place itself, or for what is in itself or a key or member, no more than inside of it."""
    word = UNTYPED[name][1]
    assert word in str(error)
    if name.startswith(("key", "member")):
        assert error.path is not None
        assert error.path.startswith(place)
    elif "itself" in name:
        assert error.path is not None
        assert re.fullmatch(re.escape(place) + r"(\[0\]|\.self){0,3}", error.path)
    else:
        assert error.path == place


@pytest.mark.parametrize("name", UNTYPED)
def test_what_a_dict_cannot_keep_is_refused_with_its_path(
    dicts: Checkpointer[Any], name: str
) -> None:
    value = UNTYPED[name][0]()
    error = refused(dicts, lambda state: state.update(memory=[0, {"in": (1, value)}]))
    check_path(error, "memory[1].in[1]", name)


@pytest.mark.parametrize("name", UNTYPED)
def test_what_an_untyped_field_cannot_keep_is_refused_with_its_path(
    models: Checkpointer[Any], name: str
) -> None:
    value = UNTYPED[name][0]()

    def change(state: State) -> None:
        state.memory = [Message(), Message(), Message(), Message(callback=[0, value])]

    check_path(refused(models, change), "memory[3].callback[1]", name)


@pytest.mark.parametrize("name", UNTYPED)
def test_what_an_extra_field_cannot_keep_is_refused_with_its_path(name: str) -> None:
    value = UNTYPED[name][0]()
    with checkpoint.open("memory://", Open) as cp:
        cp.save("user-42", Open())
        check_path(refused(cp, lambda state: setattr(state, "more", value)), "more", name)


def test_a_function_in_an_item_is_told_as_promised(models: Checkpointer[Any]) -> None:
    def change(state: State) -> None:
        state.memory = [Message(), Message(), Message(), Message(callback=print_nothing)]

    assert "memory[3].callback: function" in str(refused(models, change))


# --- a typed place with something else in it -----------------------------------------------------


def put(**fields: Any) -> Callable[[State], None]:
    """A change that puts values where assignment does not validate."""

    def change(state: State) -> None:
        for name, value in fields.items():
            setattr(state, name, value)

    return change


TYPED: dict[str, tuple[Callable[[State], None], str, str]] = {
    "subclass in a list": (
        put(memory=[Message(), ToolMessage()]),
        "memory[1]",
        "declare ToolMessage",
    ),
    "subclass in a memory": (put(items=Memory([ToolMessage()])), "items[0]", "ToolMessage"),
    "subclass in a map": (put(by_name={"a": ToolMessage()}), "by_name.a", "ToolMessage"),
    "subclass in an optional": (put(optional=ToolMessage()), "optional", "ToolMessage"),
    "subclass dumped as what it is": (put(any_message=ToolMessage()), "any_message", "ToolMessage"),
    "subclass of a dataclass": (put(pairs=[Pair(), Triple()]), "pairs[1]", "Triple"),
    "str enum in a str": (put(text=Mood.GOOD), "text", "Mood"),
    "str subclass in a str": (put(text=Str("a")), "text", "Str"),
    "int enum in an int": (put(number=Size.BIG), "number", "Size"),
    "bool in an int": (put(number=True), "number", "bool True"),
    "int in a float": (put(real=1), "real", "int 1"),
    "decimal in a float": (put(real=Decimal("0.1")), "real", "Decimal"),
    "date in a datetime": (put(at=dt.date(2024, 1, 1)), "at", "date"),
    "datetime subclass": (put(at=Moment(2024, 1, 1)), "at", "Moment"),
    "pytz-like zone": (put(at=dt.datetime(2024, 1, 1, tzinfo=Zone())), "at", "time zone"),
    "tuple in a list": (put(tags=("a",)), "tags", "tuple"),
    "enum in a list of str": (put(tags=["a", Mood.GOOD]), "tags[1]", "Mood"),
    "list in a memory": (put(items=[Message()]), "items", "list"),
    "dict for a model": (put(optional={"role": "user"}), "optional", "dict"),
    "text in an int": (put(number="many"), "number", "refuse it"),
    "none in a str": (
        put(memory=[Message(), Message(role="a").model_copy(update={"role": None})]),
        "memory[1].role",
        "refuse it",
    ),
    "secret": (
        put(secret=SecretStr("hunter2")),
        "secret",
        "SecretStr cannot be saved; declare its field with exclude=True",
    ),
    "secret in a list": (
        put(secrets=[SecretBytes(b"hunter2")]),
        "secrets[0]",
        "SecretBytes cannot",
    ),
    "enum in a dataclass": (put(pairs=[Pair(right=Level.LOW)]), "pairs[0].right", "Level"),
    "str enum in a dataclass": (put(pairs=[Pair(right=Mood.GOOD)]), "pairs[0].right", "Mood"),
    "int enum in a dataclass": (put(pairs=[Pair(right=Size.BIG)]), "pairs[0].right", "Size"),
    "int in a dataclass's float": (put(pairs=[Pair(left=1)]), "pairs[0].left", "int 1"),
    "defaultdict in a dataclass": (
        put(pairs=[Pair(right=defaultdict(list))]),
        "pairs[0].right",
        "defaultdict",
    ),
    "ordered dict in a dataclass": (
        put(pairs=[Pair(right=[OrderedDict(a=1)])]),
        "pairs[0].right[0]",
        "OrderedDict",
    ),
    "model in a dataclass": (put(pairs=[Pair(right=Message())]), "pairs[0].right", "Message"),
    "what a dataclass does not compare": (
        put(pairs=[Pair(silent=Level.LOW)]),
        "pairs[0].silent",
        "Level",
    ),
    "function in a dataclass": (put(pairs=[Pair(right=print)]), "pairs[0].right", "builtin"),
}


@pytest.mark.parametrize("name", TYPED)
def test_what_a_typed_place_does_not_hold_is_refused_with_its_path(
    models: Checkpointer[Any], name: str
) -> None:
    change, path, words = TYPED[name]
    error = refused(models, change)
    assert error.path == path
    assert words in str(error)


# --- values that looking at would change ---------------------------------------------------------


def numbers(seen: list[int]) -> Iterator[int]:
    for number in range(3):
        seen.append(number)
        yield number


@pytest.mark.parametrize(
    "wrap",
    [
        lambda stream: stream,
        lambda stream: [stream],
        lambda stream: (stream,),
        lambda stream: deque([stream]),
        lambda stream: defaultdict(list, a=stream),
        lambda stream: List([stream]),
        lambda stream: Pair(right=stream),
        lambda stream: Message(callback=stream),
        lambda stream: map(str, stream),
        enumerate,
    ],
    ids=["itself", "list", "tuple", "deque", "defaultdict", "list subclass", "dataclass", "model",
         "map", "enumerate"],
)  # fmt: skip
@pytest.mark.parametrize("place", ["dict", "Any", "extra"])
def test_a_generator_is_refused_and_not_consumed(
    dicts: Checkpointer[Any], models: Checkpointer[Any], place: str, wrap: Callable[[Any], Any]
) -> None:
    seen: list[int] = []
    value = wrap(numbers(seen))
    if place == "dict":
        refused(dicts, lambda state: state.update(value=value))
    else:
        name = "value" if place == "Any" else "more"
        refused(models, lambda state: setattr(state, name, value))
    assert seen == []


def test_a_generator_in_a_field_of_iterables_is_refused_and_not_consumed() -> None:
    class Streaming(BaseModel):
        stream: Iterable[int]

    seen: list[int] = []
    state = Streaming(stream=numbers(seen))
    with checkpoint.open("memory://", Streaming) as cp:
        with pytest.raises(NotSerializable) as caught:
            cp.save("user-42", state)
        assert list(cp.sessions()) == []
    assert caught.value.path == "stream"
    assert seen == []
    assert list(state.stream) == [0, 1, 2]


# --- models that cannot be built again -----------------------------------------------------------


def test_a_model_that_changes_what_it_is_given_is_refused() -> None:
    class Growing(BaseModel):
        items: list[int] = []

        @field_validator("items")
        @classmethod
        def grow(cls, items: list[int]) -> list[int]:
            return [*items, len(items)]

    with checkpoint.open("memory://", Growing) as cp:
        with pytest.raises(NotSerializable, match="1 items would come back as 2") as caught:
            cp.save("user-42", Growing(items=[]))
        assert caught.value.path == "items"
        assert list(cp.sessions()) == []


def test_a_required_field_that_is_not_saved_is_refused() -> None:
    class Hiding(BaseModel):
        client: int = Field(exclude=True)

    with checkpoint.open("memory://", Hiding) as cp, pytest.raises(NotSerializable) as caught:
        cp.save("user-42", Hiding(client=1))
    assert caught.value.path == "client"


@pytest.mark.parametrize("error", [KeyError, RuntimeError, ZeroDivisionError, TypeError])
def test_a_validator_that_fails_in_its_own_way_is_told_as_ours(error: type[Exception]) -> None:
    failing = False

    class Fragile(BaseModel):
        n: int = 0

        @field_validator("n")
        @classmethod
        def check(cls, n: int) -> int:
            if failing:
                raise error("of its own")
            return n

    with checkpoint.open("memory://", Fragile) as cp:
        cp.save("user-42", Fragile(n=1))
        failing = True
        with pytest.raises(CheckpointError) as caught:
            cp.restore("user-42")
        assert (caught.value.session_id, caught.value.revision) == ("user-42", 1)
        with pytest.raises(NotSerializable):
            cp.save("another", Fragile.model_construct(n=2))
        failing = False
        assert cp.restore("user-42").state == Fragile(n=1)


def test_a_serializer_that_fails_in_its_own_way_is_told_as_ours() -> None:
    class Unready:
        def __init__(self) -> None:
            self.inner = object()

    with checkpoint.open("memory://") as cp:
        with pytest.raises(NotSerializable) as caught:
            cp.save("user-42", {"a": [Unready()]})
        assert caught.value.path is not None
        assert caught.value.path.startswith("a[0]")


def test_a_value_whose_repr_fails_is_still_refused() -> None:
    class Mute(Str):
        __slots__ = ()

        def __repr__(self) -> str:
            raise RuntimeError("not a word")

    with checkpoint.open("memory://") as cp, pytest.raises(NotSerializable) as caught:
        cp.save("user-42", {"a": Mute("x")})
    assert caught.value.path == "a"


# --- what a turn returns -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "path"),
    [
        pytest.param(print_nothing, "result", id="function"),
        ({"a": [1, Level.LOW]}, "result.a[1]"),
        ([Message()], "result[0]"),
        ((1, [Point(1)]), "result[1][0]"),
        (Mood.GOOD, "result"),
        (defaultdict(list, a=[1]), "result"),
        ({"a": OrderedDict(b=1)}, "result.a"),
        ({Pair()}, "result"),
        (cyclic_list(), "result"),
    ],
    ids=str,
)
def test_a_result_that_would_not_come_back_is_refused(
    dicts: Checkpointer[Any], result: Any, path: str
) -> None:
    with pytest.raises(NotSerializable) as caught:
        dicts.run("user-42", lambda _: result, turn_id="1")
    assert caught.value.path is not None
    assert caught.value.path.startswith(path)
    assert len(dicts.history("user-42")) == 1


def test_a_result_that_is_not_kept_may_be_anything(dicts: Checkpointer[Any]) -> None:
    assert dicts.run("user-42", lambda _: print_nothing) is print_nothing


# --- states of another kind ----------------------------------------------------------------------


def test_a_state_of_another_model_is_refused(models: Checkpointer[Any]) -> None:
    class Bigger(State):
        pass

    for state in (Bigger(), Message(), {"value": 1}, None):
        with pytest.raises(checkpoint.InvalidOption, match="State"):
            models.save("another", state)
    assert [info.session_id for info in models.sessions()] == ["user-42"]


def test_a_model_given_to_a_checkpointer_of_dicts_is_refused(dicts: Checkpointer[Any]) -> None:
    with pytest.raises(checkpoint.InvalidOption, match="Message"):
        dicts.save("another", Message())
