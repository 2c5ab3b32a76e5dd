"""What comes back equals what was saved, types and all, from a real store."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from functools import partial
from ipaddress import IPv4Address
from itertools import product
from pathlib import Path
from random import Random
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    AnyUrl,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Json,
    JsonValue,
    PlainSerializer,
    PrivateAttr,
    RootModel,
    Tag,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

import checkpoint
from checkpoint import (
    AgentState,
    Checkpointer,
    InvalidState,
    Memory,
    NotSerializable,
    StateTooLarge,
)
from checkpoint._document.codec import encode
from checkpoint._stores.inmemory import InMemoryStore

from ..effort import examples
from ..strategies import DATETIMES, DICT_STATES, INTEGERS, edits
from .sameness import same

pytestmark = pytest.mark.promise("same-state")

BERLIN = ZoneInfo("Europe/Berlin")
T = TypeVar("T")


# --- every way to declare a place for a value -----------------------------------------------------


class Level(Enum):
    LOW = 1
    HIGH = 2


class Mood(StrEnum):
    GOOD = "good"


class Size(IntEnum):
    BIG = 3


class Color(Enum):
    RED = (255, 0, 0)


class Perm(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Stamp(NamedTuple):
    at: dt.datetime
    raw: bytes
    seen: set[int]


class Options(TypedDict):
    name: str
    limit: NotRequired[Decimal]


@dataclasses.dataclass
class Tool:
    name: str
    tags: set[str] = dataclasses.field(default_factory=set)
    calls: list[Tool] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Sealed:
    at: Point
    extra: Any = None


@pydantic_dataclass
class Checked:
    count: int = Field(alias="theCount")


@dataclasses.dataclass
class Pair(Generic[T]):
    left: T
    right: T


class Message(BaseModel):
    role: str
    content: str = ""
    at: dt.datetime | None = None


class Text(BaseModel):
    kind: Literal["text"] = "text"
    text: str


class Image(BaseModel):
    kind: Literal["image"] = "image"
    data: bytes


class Tree(BaseModel):
    value: Any = None
    children: list[Tree] = []
    by_name: dict[str, Tree] = {}


class Box(BaseModel, Generic[T]):
    content: T
    spare: list[T] = []


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=False)
    name: str = Field(alias="theName")
    size: int = Field(validation_alias=AliasChoices("size", "Size"), serialization_alias="SIZE")


class ByAlias(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    name: str = Field(alias="theName")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: int = 0


class TypedExtra(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, tuple[int, ...]]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    tags: frozenset[str]
    at: Point


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    level: Level
    when: dt.datetime
    tags: tuple[str, ...]
    raw: bytes
    id: UUID
    inner: Message


class Celsius(BaseModel):
    degrees: float

    @field_validator("degrees")
    @classmethod
    def above_zero(cls, value: float) -> float:
        if value < -273.15:
            raise ValueError("colder than possible")
        return value


class Sorted(BaseModel):
    items: list[int] = []
    total: int = 0

    @model_validator(mode="after")
    def in_order(self) -> Sorted:
        self.items.sort()
        self.total = sum(self.items)
        return self


class Numbers(RootModel[list[int]]):
    pass


class Maybe(RootModel[int | None]):
    pass


class Derived(BaseModel):
    n: int = 1
    hidden: str = Field(default="unsaved", exclude=True)
    _cache: dict[str, int] = PrivateAttr(default_factory=dict)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> int:
        return self.n * 2


class Vector:
    """A value of a foreign library, which compares item by item as arrays do."""

    def __init__(self, items: list[float]) -> None:
        self.items = items

    def __eq__(self, other: object) -> Any:
        assert isinstance(other, Vector)
        return Vector([float(a == b) for a, b in zip(self.items, other.items, strict=True)])

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


UserId = NewType("UserId", str)


def kind_of(value: Any) -> str:
    kind = value["kind"] if isinstance(value, dict) else value.kind
    return str(kind)


class Unions(BaseModel):
    optional: Message | None = None
    plain: int | str | bytes | None = None
    numbers: list[int | float | bool | Decimal] = []
    models: list[Text | Image] = []
    tagged: list[Annotated[Text | Image, Field(discriminator="kind")]] = []
    called: list[
        Annotated[
            Annotated[Text, Tag("text")] | Annotated[Image, Tag("image")], Discriminator(kind_of)
        ]
    ] = []
    containers: list[int] | dict[str, int] | tuple[int, ...] | set[int] | None = None


class Scalars(BaseModel):
    big: int = 0
    real: float = 0.0
    exact: Decimal = Decimal(0)
    raw: bytes = b""
    id: UUID = UUID(int=0)
    at: dt.datetime = dt.datetime(1970, 1, 1)
    aware: AwareDatetime = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    day: dt.date = dt.date(1970, 1, 1)
    time: dt.time = dt.time()
    gap: dt.timedelta = dt.timedelta()
    level: Level = Level.LOW
    mood: Mood = Mood.GOOD
    size: Size = Size.BIG
    user: UserId = UserId("u")
    choice: Literal["a", 1, True, None] = "a"
    url: AnyUrl = AnyUrl("https://example.org/")
    path: Path = Path("/tmp")
    address: IPv4Address = IPv4Address("127.0.0.1")


class Containers(BaseModel):
    tuple_: tuple[int, str] = (0, "")
    tuples: tuple[tuple[int, ...], ...] = ()
    set_: set[int] = set()
    sets: frozenset[frozenset[str]] = frozenset()
    levels: dict[Level, set[Level]] = {}
    points: dict[tuple[int, int], list[Point]] = {}
    moments: dict[dt.datetime, dict[UUID, Decimal]] = {}
    options: Options = {"name": ""}
    sequence: Sequence[Message] = []
    mapping: Mapping[str, Tool] = {}
    factory: list[Tool] = Field(default_factory=lambda: [Tool("search")])


class Anything(BaseModel):
    value: Any = None
    values: dict[str, Any] = {}
    json_: JsonValue = None
    parsed: Json[list[int]] | None = None
    parsed_any: Json[Any] = Field(default="null", validate_default=True)


class Foreign(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    vector: Annotated[
        Vector,
        BeforeValidator(lambda v: v if isinstance(v, Vector) else Vector(v)),
        PlainSerializer(lambda v: v.items),
    ]


class Support(AgentState, schema="support", version=1):
    config: Frozen = Frozen(tags=frozenset(), at=Point(0))
    memory: Memory[Text | Image] = Memory()
    cursors: dict[str, int] = {}


NOON = dt.datetime(2024, 10, 27, 12, tzinfo=BERLIN)
TWICE = dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1)
NAMED = dt.timezone(dt.timedelta(hours=5, minutes=45, seconds=3), "here")

KEPT: dict[str, BaseModel] = {
    "big int": Scalars(big=-(2**3000)),
    "negative zero": Scalars(real=-0.0),
    "nan": Scalars(real=math.nan),
    "infinity": Scalars(real=math.inf),
    "decimal of many digits": Scalars(exact=Decimal("-1.50000000000000000000000000000000001E+99")),
    "decimal with zeros at the end": Scalars(exact=Decimal("1.500")),
    "bytes that are no text": Scalars(raw=b"\xff\x00"),
    "uuid": Scalars(id=UUID("12345678123456781234567812345678")),
    "naive datetime": Scalars(at=dt.datetime(2024, 1, 1, 0, 0, 0, 1)),
    "datetime in utc": Scalars(at=NOON.astimezone(dt.UTC)),
    "datetime in a named zone": Scalars(at=NOON, aware=NOON),
    "datetime in the second fold": Scalars(at=TWICE),
    "datetime of a named offset": Scalars(at=dt.datetime(2024, 1, 1, tzinfo=NAMED)),
    "datetime parsed by pydantic": Scalars.model_validate({"at": "2024-01-01T00:00:00+02:00"}),
    "date": Scalars(day=dt.date.max),
    "time with a zone": Scalars(time=dt.time(1, 2, 3, 4, tzinfo=BERLIN, fold=1)),
    "time of an offset": Scalars(time=dt.time(1, tzinfo=NAMED)),
    "timedelta": Scalars(gap=dt.timedelta(-1, 1, 1)),
    "enums": Scalars(level=Level.HIGH, mood=Mood.GOOD, size=Size.BIG),
    "literal str": Scalars(choice="a"),
    "literal int": Scalars(choice=1),
    "literal none": Scalars(choice=None),
    "url, path, address": Scalars(url=AnyUrl("https://a.b/?c"), path=Path("a/b")),
    "tuples": Containers(tuple_=(1, "a"), tuples=((1,), (), (2, 3))),
    "sets": Containers(set_={1, 2**70}, sets=frozenset({frozenset({"a", "b"}), frozenset()})),
    "enums as keys and members": Containers(levels={Level.LOW: {Level.HIGH, Level.LOW}}),
    "tuples as keys": Containers(points={(1, 2): [Point(1, 2.0), Point(3)]}),
    "dates and uuids as keys": Containers(moments={NOON: {UUID(int=1): Decimal("1.0")}}),
    "typed dict, whole": Containers(options={"name": "n", "limit": Decimal("0.10")}),
    "typed dict, part": Containers(options={"name": "n"}),
    "abstract containers": Containers(sequence=[Message(role="a")], mapping={"t": Tool("t")}),
    "dataclass of dataclasses": Containers(factory=[Tool("a", {"x"}, [Tool("b"), Tool("c")])]),
    "default factory": Containers(),
    "union: a model": Unions(optional=Message(role="user", at=NOON)),
    "union: none": Unions(optional=None),
    "union: int": Unions(plain=1),
    "union: str": Unions(plain="1"),
    "union: bytes": Unions(plain=b"1"),
    "union of numbers": Unions(numbers=[1, 1.0, True, Decimal(1), 2**70]),
    "union of models": Unions(models=[Text(text="a"), Image(data=b"\xff")]),
    "union with a discriminator": Unions(tagged=[Image(data=b""), Text(text="")]),
    "union with a function": Unions(called=[Image(data=b"\xfe"), Text(text="")]),
    "union: list": Unions(containers=[1]),
    "union: dict": Unions(containers={"a": 1}),
    "union: tuple": Unions(containers=(1, 2)),
    "union: set": Unions(containers={1}),
    "generic model": Box[Message](content=Message(role="a"), spare=[Message(role="b")]),
    "generic of a generic": Box[Box[int]](content=Box[int](content=1)),
    "generic of a tuple": Box[tuple[int, ...]](content=(1, 2)),
    "recursive model": Tree(children=[Tree(by_name={"a": Tree(value=(1,))})]),
    "aliases": Aliased(theName="n", size=3),
    "aliases written by default": ByAlias(theName="n"),
    "extra fields": Open(known=1, other={"a": (1, {2})}, at=TWICE),  # type: ignore[call-arg]
    "typed extra fields": TypedExtra(a=(1, 2)),  # type: ignore[call-arg]
    "frozen": Frozen(tags=frozenset({"a"}), at=Point(1, 2.0)),
    "strict": Strict(
        level=Level.HIGH,
        when=TWICE,
        tags=("a",),
        raw=b"\xff",
        id=UUID(int=5),
        inner=Message(role="a", at=NOON),
    ),
    "validated": Celsius(degrees=-273.15),
    "validated as a whole": Sorted(items=[3, 1, 2]),
    "root model": Numbers([1, 2]),
    "root model of none": Maybe(None),
    "private, computed, excluded": Derived(n=3),
    "any": Anything(value={"a": [(1, {2}, frozenset({3})), TWICE, b"\xff", Decimal(1), None]}),
    "any: nan": Anything(value=math.nan),
    "any: nan in a set": Anything(value={math.nan}),
    "any: nan as a key": Anything(value={math.nan: 1}),
    "any: lone surrogate": Anything(value="\ud800"),
    "any: bool, int and float": Anything(value=[True, 1, 1.0, 0, False, -0.0]),
    "any: uuid and timedelta": Anything(value=[UUID(int=1), dt.timedelta(1), dt.date(1, 1, 1)]),
    "any: keys of all sorts": Anything(value={1: 1, (1, "a"): 2, None: 3, b"b": 4, 1.5: 5}),
    "json value": Anything(json_={"a": [1, 1.0, None, True, "x"]}),
    "json text": Anything.model_validate({"parsed": "[1, 2]", "parsed_any": '{"a": [1, 2.5]}'}),
    "enum of a tuple": Box[Color](content=Color.RED),
    "literal of an enum": Box[Literal[Mood.GOOD]](content=Mood.GOOD),
    "several flags": Box[Perm](content=Perm.READ | Perm.WRITE),
    "named tuple of all sorts": Box[Stamp](content=Stamp(TWICE, b"\xff", {1, 2})),
    "named tuple of dataclasses": Box[Pair[Tool]](content=Pair(Tool("a"), Tool("b"))),
    "frozen dataclass without equality": Box[Sealed](content=Sealed(Point(1), {"a": (1,)})),
    "pydantic dataclass with an alias": Box[Checked](content=Checked(theCount=1)),
    "optional dataclass": Box[Tool | None](content=Tool("a")),
    "agent state": Support(
        config=Frozen(tags=frozenset({"a"}), at=Point(1)),
        memory=Memory([Text(text="a"), Image(data=b"\0")]),
        cursors={"feed": 7},
    ),
}


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """What the checkpointers of a test are opened on: a store, or the URL of one."""
    return InMemoryStore() if request.param == "memory" else f"sqlite:///{tmp_path}/agents.db"


@contextmanager
def opened(store: Any, model: Any = None, **options: Any) -> Iterator[Checkpointer[Any]]:
    """A checkpointer that has seen nothing before, as in another process."""
    cp: Checkpointer[Any] = checkpoint.open(store, model, **options)
    yield cp
    if isinstance(store, str):
        cp.close()


def model_of(state: object) -> Any:
    return type(state) if isinstance(state, BaseModel) else None


def same_state(a: Any, b: Any) -> bool:
    """A restored dict is a dict that can remember where it came from."""
    return same(dict(a), dict(b)) if isinstance(a, dict) and isinstance(b, dict) else same(a, b)


def check_round_trip(store: Any, state: Any) -> None:
    """A state comes back the same; while nothing changes after that, nothing is written."""
    with opened(store, model_of(state)) as cp:
        assert cp.save("user-42", state).revision == 1
    with opened(store, model_of(state)) as cp:
        with cp.turn("user-42") as turn:
            assert same_state(turn.state, state)
            assert turn.state is not state
        assert turn.revision == 1
        assert cp.save("user-42", turn.state).revision == 1
        assert len(cp.history("user-42")) == 1


@pytest.mark.parametrize("name", KEPT)
def test_a_state_comes_back_the_same(store: Any, name: str) -> None:
    check_round_trip(store, KEPT[name])


def nested(state: BaseModel) -> list[BaseModel]:
    """The state in each place that a model can declare for it."""
    kind: Any = type(state)
    other = copy.deepcopy(state)
    return [
        Box[list[kind]](content=[state, other]),
        Box[dict[str, kind]](content={"a": state, "b": other}),
        Box[tuple[kind, ...]](content=(state, other)),
        Box[Memory[kind]](content=Memory([state, other])),
        Box[Box[kind]](content=Box[kind](content=state)),
        Box[Pair[kind]](content=Pair(state, other)),
        Box[list[int | kind]](content=[1, state]),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", KEPT)
def test_a_state_comes_back_the_same_from_wherever_it_is_nested(name: str) -> None:
    for outer in nested(KEPT[name]):
        check_round_trip(InMemoryStore(), outer)


@examples(150)
@given(DICT_STATES)
def test_any_plain_dict_comes_back_the_same(state: dict[Any, Any]) -> None:
    check_round_trip(InMemoryStore(), state)


@examples(150)
@given(DICT_STATES, st.data())
def test_whatever_is_changed_in_a_restored_dict_is_saved(
    state: dict[Any, Any], data: st.DataObject
) -> None:
    store = InMemoryStore()
    with opened(store) as cp:
        cp.save("user-42", state)
    for _ in range(3):
        with opened(store) as cp:
            with cp.turn("user-42") as turn:
                edited = data.draw(edits(dict(turn.state)))
                wanted = edited if isinstance(edited, dict) else {"whole": edited}
                turn.state.clear()
                turn.state.update(wanted)
            assert same_state(cp.restore("user-42").state, wanted)


@examples(100)
@given(
    st.lists(
        st.builds(
            Tree,
            value=DATETIMES | INTEGERS | st.sets(INTEGERS),
            children=st.lists(st.builds(Tree, value=st.binary()), max_size=2),
        ),
        max_size=5,
    ),
    st.integers(0, 4),
)
def test_models_of_any_values_come_back_the_same(trees: list[Tree], cut: int) -> None:
    store = InMemoryStore()
    check_round_trip(store, Tree(children=trees[:cut]))
    with opened(store, Tree) as cp:
        with cp.turn("user-42") as turn:
            turn.state.children.extend(trees[cut:])
        assert same(cp.restore("user-42").state, Tree(children=trees))


def test_an_array_like_value_is_kept_or_refused_with_its_path() -> None:
    cp = checkpoint.open("memory://", Foreign)
    with suppress_refusal("vector"):
        cp.save("user-42", Foreign(vector=Vector([1.0, 2.0])))
        assert cp.restore("user-42").state.vector.items == [1.0, 2.0]


@contextmanager
def suppress_refusal(path: str) -> Iterator[None]:
    try:
        yield
    except NotSerializable as exc:
        if exc.path != path:
            raise


# --- what a turn writes --------------------------------------------------------------------------


def test_a_new_session_left_alone_writes_nothing(store: Any) -> None:
    with opened(store, Support) as cp:
        with cp.turn("user-42") as turn:
            assert turn.state.memory == []
        assert turn.revision == 0
        assert list(cp.sessions()) == []


def test_a_change_that_was_undone_writes_nothing(store: Any) -> None:
    with opened(store, Support) as cp:
        cp.save("user-42", Support(memory=Memory([Text(text="a")])))
        with cp.turn("user-42") as turn:
            turn.state.memory.append(Text(text="b"))
            turn.state.memory[0] = Text(text="c")
            del turn.state.memory[1]
            turn.state.memory[0] = Text(text="a")
        assert turn.revision == 1


DEEP: dict[str, Callable[[], Any]] = {
    "list": lambda: [0],
    "dict": lambda: {"a": 0},
    "set": lambda: {0},
    "list in a tuple": lambda: ([0],),
    "set in a tuple in a list": lambda: [({0},)],
    "dict in a list in a dict": lambda: {"a": [{"b": 0}]},
}
UNTYPED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "dict": (lambda value: {"value": value}, lambda state: state["value"]),
    "Any": (lambda value: Anything(value=value), lambda state: state.value),
    "extra": (lambda value: Open(value=value), lambda state: state.value),  # type: ignore[call-arg]
    "memory": (
        lambda value: Box[Memory[Any]](content=Memory([value])),
        lambda state: state.content[0],
    ),
    "dataclass": (
        lambda value: Box[Sealed](content=Sealed(Point(1), value)),
        lambda state: state.content.extra,
    ),
}


def change_innermost(value: Any, number: int) -> None:
    """Add a number to the innermost container that can be changed."""
    inner = next(iter(value.values() if isinstance(value, dict) else value))
    if isinstance(inner, (list, dict, set, tuple)):
        change_innermost(inner, number)
    elif isinstance(value, list):
        value.append(number)
    elif isinstance(value, dict):
        value[f"more {number}"] = number
    else:
        value.add(number)


@pytest.mark.parametrize("shape", DEEP)
@pytest.mark.parametrize("place", UNTYPED)
def test_a_change_in_place_deep_inside_of_what_has_no_type_is_saved(place: str, shape: str) -> None:
    make, value_of = UNTYPED[place]
    expected = DEEP[shape]()
    state = make(DEEP[shape]())
    with opened(InMemoryStore(), model_of(state)) as cp:
        cp.save("user-42", state)
        for number in (1, 2):
            with cp.turn("user-42") as turn:
                change_innermost(value_of(turn.state), number)
            change_innermost(expected, number)
            assert turn.revision == number + 1
            assert same(value_of(cp.restore("user-42").state), expected)
        for number in (3, 4):  # the very object that was saved before
            change_innermost(value_of(state := turn.state), number)
            change_innermost(expected, number)
            assert cp.save("user-42", state).revision == number + 1
            assert same(value_of(cp.restore("user-42").state), expected)


def test_a_change_in_place_deep_inside_of_models_is_saved(store: Any) -> None:
    state = Tree(by_name={"a": Tree(children=[Tree(value={"b": [1]})])})
    with opened(store, Tree) as cp:
        cp.save("user-42", state)
        with cp.turn("user-42") as turn:
            turn.state.by_name["a"].children[0].value["b"].append(2)
        assert turn.revision == 2
        (change,) = cp.diff("user-42", 1, 2)
        assert str(change) == "by_name.a.children[0].value.b[1]: +1"
        assert cp.restore("user-42").state.by_name["a"].children[0].value == {"b": [1, 2]}


def test_what_restore_gave_is_independent_of_what_it_gives_next(store: Any) -> None:
    with opened(store) as cp:
        cp.save("user-42", {"memory": [[1]]})
        first = cp.restore("user-42").state
        first["memory"][0].append(2)
        assert cp.restore("user-42").state == {"memory": [[1]]}


# --- models that look at what they are given ------------------------------------------------------


def test_a_model_with_validators_goes_on_after_a_restore(store: Any) -> None:
    with opened(store, Sorted) as cp:
        for number in (5, 3, 4):
            with cp.turn("user-42") as turn:
                turn.state = Sorted(items=[*turn.state.items, number])
        assert turn.revision == 3
        assert cp.restore("user-42").state == Sorted(items=[3, 4, 5], total=12)


def test_private_attributes_and_excluded_fields_begin_anew(store: Any) -> None:
    state = Derived(n=2)
    state._cache["a"], state.hidden = 1, "secret"
    with opened(store, Derived) as cp:
        cp.save("user-42", state)
        restored = cp.restore("user-42").state
        assert (restored.n, restored.twice, restored._cache, restored.hidden) == (
            2,
            4,
            {},
            "unsaved",
        )
        assert b"secret" not in repr(cp.document("user-42")).encode()


def test_a_stored_value_the_model_refuses_by_now_is_named(store: Any) -> None:
    class Message(BaseModel):
        role: str

    class Chat(BaseModel):
        memory: Memory[Message] = Memory()

    class Picky(Message):
        @field_validator("role")
        @classmethod
        def known(cls, role: str) -> str:
            if role == "robot":
                raise ValueError("no robots")
            return role

    class PickyChat(BaseModel):
        memory: Memory[Picky] = Memory()

    messages = [Message(role="user") for _ in range(17)]
    with opened(store, Chat, schema="chat", version=1) as cp:
        cp.save("user-42", Chat(memory=Memory([*messages, Message(role="robot")])))
    with (
        opened(store, PickyChat, schema="chat", version=1) as picky,
        pytest.raises(InvalidState, match="no robots") as caught,
    ):
        picky.restore("user-42")
    assert caught.value.path == "memory[17].role"
    assert (caught.value.session_id, caught.value.revision) == ("user-42", 1)


# --- how large -----------------------------------------------------------------------------------


def size_of(state: dict[str, Any]) -> int:
    return len(encode(state))


@pytest.mark.parametrize("model", [None, Anything], ids=["dict", "model"])
@pytest.mark.parametrize("size", [0, 100, 1000, 100_000])
def test_a_state_of_just_the_limit_is_saved_and_restored(model: Any, size: int) -> None:
    state = {"value": "x" * size} if model is None else Anything(value="x" * size)
    limit = size_of(state if isinstance(state, dict) else state.model_dump(round_trip=True))
    store = InMemoryStore()
    with opened(store, model, max_bytes=limit) as cp:
        cp.save("user-42", state)
        assert cp.restore("user-42").state == state
        with cp.turn("user-42") as turn:
            pass
        assert turn.revision == 1
    with (
        opened(InMemoryStore(), model, max_bytes=limit - 1) as smaller,
        pytest.raises(StateTooLarge, match=str(limit - 1)),
    ):
        smaller.save("user-42", state)


def test_a_state_past_the_limit_is_refused_and_nothing_is_written(store: Any) -> None:
    with opened(store, max_bytes=1000) as cp:
        cp.save("user-42", {"a": "x" * 900})
        with (
            pytest.raises(StateTooLarge, match="nothing was written") as caught,
            cp.turn("user-42") as turn,
        ):
            turn.state["b"] = "y" * 900
        assert caught.value.session_id == "user-42"
        assert cp.restore("user-42").state == {"a": "x" * 900}
        assert len(cp.history("user-42")) == 1


def test_a_result_past_the_limit_is_refused_and_nothing_is_written(store: Any) -> None:
    with opened(store, max_bytes=1000) as cp:
        with pytest.raises(StateTooLarge):
            cp.run("user-42", lambda _: "x" * 5000, turn_id="1")
        assert list(cp.sessions()) == []


def test_a_stored_state_past_the_readers_limit_is_refused(store: Any) -> None:
    with opened(store) as cp:
        cp.save("user-42", {"a": "x" * 1_000_000})
        with (
            opened(store, max_bytes=1000) as small,
            pytest.raises(StateTooLarge, match="larger max_bytes") as caught,
        ):
            small.restore("user-42")
        assert (caught.value.session_id, caught.value.revision) == ("user-42", 1)
        assert cp.restore("user-42").state == {"a": "x" * 1_000_000}


def one_value_replaced(state: dict[str, Any], limit: int, number: int) -> None:
    state["value"] = chr(65 + number % 25) * (limit - 100)


def random_bytes(state: dict[str, Any], limit: int, number: int) -> None:
    state["value"] = Random(number).randbytes(limit // 2)


def many_keys_under_a_long_one(state: dict[str, Any], limit: int, number: int) -> None:
    """Every operation of the patch repeats the long key: it is far larger than the state."""
    state["k" * (limit // 3)] = dict.fromkeys(range(limit // 40), number)


def some_keys_under_a_long_one(state: dict[str, Any], limit: int, number: int) -> None:
    """The patch is larger than the state, and smaller than what a segment may hold."""
    state["k" * (limit // 3)] = dict.fromkeys(range(18), number)
    state["rest"] = "r" * (limit // 2)


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        *product([one_value_replaced, random_bytes], [300, 2000, 20_000]),
        *product([many_keys_under_a_long_one], [300, 2000, 8000]),
        (some_keys_under_a_long_one, 100_000),
    ],
)
def test_whatever_was_saved_under_a_limit_restores_under_it(
    change: Callable[[dict[str, Any], int, int], None], limit: int
) -> None:
    """Patches, results and a segment's sum are bounded by what their reader accepts."""

    def turn(state: dict[str, Any], number: int) -> str:
        change(state, limit, number)
        return "r" * (limit - 100)

    store = InMemoryStore()
    turns = 80 if limit < 100_000 else 12  # enough for several segments of each
    for number in range(turns):
        with opened(store, max_bytes=limit) as cp:
            cp.run("user-42", partial(turn, number=number), turn_id=str(number))
    with opened(store, max_bytes=limit) as cp:
        for revision in (1, turns // 2, turns):
            assert cp.restore("user-42", revision=revision).revision == revision


# --- how deep ------------------------------------------------------------------------------------

NEST = """
import sys
import checkpoint

shape = sys.argv[1]
nests = {"list": lambda v: [v], "tuple": lambda v: (v,), "mix": lambda v: {"k": ([v],)}}
for depth in map(int, sys.argv[2:]):
    value = 0
    for _ in range(depth):
        value = nests[shape](value)
    cp = checkpoint.open("memory://")
    try:
        cp.save("user-42", {"value": value})
    except checkpoint.NotSerializable:
        print(depth, "refused", flush=True)
    else:
        def deeper(frames):
            if frames:
                deeper(frames - 1)
            else:
                state = cp.restore("user-42").state["value"]
                for _ in range(depth):
                    state = state["k"][0][0] if shape == "mix" else state[0]
                assert state == 0
        deeper(400)
        print(depth, "kept", flush=True)
"""


@pytest.mark.parametrize("shape", ["list", "tuple", "mix"])
def test_what_is_nested_too_deep_is_refused_and_what_is_saved_restores(shape: str) -> None:
    depths = ["20", "100", "220", "330", "495", "5000"]
    command = [sys.executable, "-c", NEST, shape, *depths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-500:]
    said = dict(line.split() for line in done.stdout.splitlines())
    assert list(said) == depths
    assert set(said.values()) == {"kept", "refused"}
    assert said["20"] == "kept"
