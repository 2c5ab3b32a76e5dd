"""A model's fingerprint follows its data, not its code; a difference is told in words."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypeVar

import pytest
from pydantic import BaseModel, Field, JsonValue, RootModel, create_model
from typing_extensions import TypeAliasType, TypedDict

import checkpoint
from checkpoint import AgentState, InvalidId, InvalidOption, Memory, SchemaChanged, SchemaMismatch
from checkpoint._state.fields import describe
from checkpoint._state.schema import ModelSchema
from checkpoint._stores.inmemory import InMemoryStore

T = TypeVar("T")


class Level(Enum):
    LOW = 1
    HIGH = 2


class Message(BaseModel):
    role: str
    content: str = ""


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Options(TypedDict, total=False):
    limit: int


@dataclasses.dataclass
class Tool:
    name: str
    calls: list[Tool] = dataclasses.field(default_factory=list)


class Tree(BaseModel):
    children: list[Tree] = []


class Ping(BaseModel):
    pong: Pong | None = None


class Pong(BaseModel):
    ping: Ping | None = None


class Nest(RootModel[dict[str, "Nest"]]):
    pass


class Box(BaseModel, Generic[T]):
    content: T


class Texts(RootModel[list[str]]):
    pass


Numbers = TypeAliasType("Numbers", list[int])


def model(**fields: Any) -> type[BaseModel]:
    """A model of these fields; a tuple is a type and its default."""
    declared = {name: f if isinstance(f, tuple) else (f, ...) for name, f in fields.items()}
    made: type[BaseModel] = create_model("Made", **declared)  # type: ignore[call-overload]
    return made


def fingerprint(of: type[BaseModel]) -> bytes:
    return ModelSchema(of, "made", 1).id.fingerprint


# --- what is described ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "described"),
    [
        (int, {"f": "int"}),
        ((int, 0), {"f": "int="}),
        (int | None, {"f": "int | None"}),
        (Optional[int], {"f": "int | None"}),  # noqa: UP045 - the older spelling is the same
        (Any, {"f": "Any"}),
        (list[int], {"f": "list[int]"}),
        (Memory[int], {"f": "list[int]"}),
        (list[Message], {"f": "list[object]", "f[].role": "str", "f[].content": "str="}),
        (Memory[Message], {"f": "list[object]", "f[].role": "str", "f[].content": "str="}),
        (dict[str, int], {"f": "dict[str, int]"}),
        (dict[str, Message], {"f": "dict[str, object]", "f{}.role": "str", "f{}.content": "str="}),
        (tuple[int, ...], {"f": "tuple[int, ...]"}),
        (tuple[int, Point], {"f": "tuple[int, object]", "f[1].x": "int", "f[1].y": "float="}),
        (Message, {"f": "object", "f.role": "str", "f.content": "str="}),
        (Point, {"f": "object", "f.x": "int", "f.y": "float="}),
        (Options, {"f": "object", "f.limit": "int="}),
        (Tool, {"f": "object", "f.name": "str", "f.calls": "list[same as f]="}),
        (Box[int], {"f": "object", "f.content": "int"}),
        (Texts, {"f": "list[str]"}),
        (Numbers, {"f": "list[int]"}),
        (Annotated[int, Field(gt=0)], {"f": "int"}),
        (Literal["a", 1], {"f": "'a' | 1"}),
        (Level, {"f": "enum(1, 2)"}),
    ],
    ids=str,
)  # fmt: skip
def test_a_field_is_described_by_its_data(field: Any, described: dict[str, str]) -> None:
    assert describe(model(f=field)) == described


def test_a_field_that_is_not_saved_is_not_described() -> None:
    assert describe(model(n=int, hidden=(int, Field(0, exclude=True)))) == {"n": "int"}


@pytest.mark.parametrize("recursive", [Tree, Ping, Pong, Nest, model(f=Tool), model(f=Nest)])
def test_a_recursive_model_is_described_once(recursive: type[BaseModel]) -> None:
    described = describe(recursive)
    assert 1 <= len(described) <= 4
    assert describe(recursive) == described


def test_any_json_can_be_described() -> None:
    assert describe(model(f=JsonValue)) == describe(model(f=JsonValue))
    assert "f" in describe(model(f=JsonValue))


def test_models_that_all_refer_to_each_other_are_described_in_a_moment() -> None:
    """As the nodes of a syntax tree do: every path through them would be far too many."""
    count = 9
    names: dict[str, Any] = {"BaseModel": BaseModel, "list": list}
    union = " | ".join(f"Node{n}" for n in range(count))
    for n in range(count):
        exec(f"class Node{n}(BaseModel):\n    kind: int\n    nodes: 'list[{union}]' = []\n", names)
    for n in range(count):
        names[f"Node{n}"].model_rebuild(_types_namespace=names)
    started = time.process_time()
    assert len(describe(names["Node0"])) < 1000
    assert time.process_time() - started < 30


# --- what a fingerprint depends on ----------------------------------------------------------------


FINGERPRINT = """
from enum import Enum
from typing import Literal, NamedTuple, NewType
from pydantic import BaseModel, Field
from checkpoint import Memory
from checkpoint._state.schema import ModelSchema

class Mood(Enum):
    GOOD = "good"
    BAD = "bad"
class Point(NamedTuple):
    x: int
class Text(BaseModel):
    kind: Literal["text"]
    mood: Mood
class Image(BaseModel):
    kind: Literal["image"]
    at: dict[str, Point | None]
UserId = NewType("UserId", str)
class State(BaseModel):
    memory: Memory[Text | Image] = Memory()
    tags: set[str] = {"a", "b", "c"}
    user: UserId = UserId("")
    mood: Literal[Mood.GOOD] | None = None
print(ModelSchema(State).id.fingerprint.hex())
"""


def test_a_fingerprint_is_the_same_in_every_process(tmp_path: Path) -> None:
    """Whatever its hash seed, and whether the module of the model is imported or run."""
    (tmp_path / "agent.py").write_text(FINGERPRINT)

    def printed(seed: str, *command: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": _path(tmp_path)}
        return subprocess.check_output([sys.executable, *command], env=environment, text=True)

    run = printed("1", str(tmp_path / "agent.py"))
    assert len(run.strip()) == 16
    assert printed("2", str(tmp_path / "agent.py")) == run
    assert printed("1", "-c", "import agent") == run


def _path(first: Path) -> str:
    return os.pathsep.join([str(first), *sys.path])


OtherId = NewType("OtherId", str)
UserId = NewType("UserId", str)
Note: Any = create_model("Note", __module__="elsewhere", role=(str, ...), content=(str, ""))
Mark: Any = create_model("Mark", text=(int, ...))
Sign: Any = create_model("Sign", __module__="elsewhere", text=(int, ...))


class OtherLevel(Enum):
    SMALL = 1
    LARGE = 2


class OtherPoint(NamedTuple):
    x: int
    y: float = 0.5


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Message, Note),
        (list[Message], list[Note]),
        (dict[str, Message | None], dict[str, Note | None]),
        (Message | Mark, Note | Sign),
        (list[Annotated[Message | Mark | int, "x"]], list[Annotated[Note | Sign | int, "y"]]),
        (Level, OtherLevel),
        (Literal[Level.LOW], Literal[OtherLevel.SMALL]),
        (Point, OtherPoint),
        (UserId, OtherId),
        (UserId, str),
        (Numbers, list[int]),
        (list[int], Memory[int]),
    ],
    ids=str,
)
def test_a_class_renamed_or_moved_changes_nothing(one: Any, other: Any) -> None:
    assert fingerprint(model(f=one)) == fingerprint(model(f=other))


@pytest.mark.parametrize(
    ("a", "b"),
    [(int, str), (Message, Message), (list[Tool], Tool), (Tree, dict[str, Tree])],
    ids=str,
)
def test_the_order_of_fields_changes_nothing(a: Any, b: Any) -> None:
    assert fingerprint(model(a=a, b=b)) == fingerprint(model(b=b, a=a))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (int, str),
        (int, int | None),
        (int, (int, 0)),
        (list[int], set[int]),
        (list[int], list[str]),
        (dict[str, int], dict[int, int]),
        (dict[str, int], dict[str, str]),
        (dict[Point, int], dict[Point, str]),
        (tuple[int, ...], tuple[int]),
        (list[Message], dict[str, Message]),
        (list[Message], list[Mark]),
        (Message | Mark, Message | Tool),
        (Message | None, Message),
        (Level, Literal[1, 2]),
        (Literal["a"], Literal["a", "b"]),
        (Box[int], Box[str]),
        (Box[Box[int]], Box[Box[str]]),
        (Texts, list[int]),
        (Point, tuple[int, float]),
    ],
    ids=str,
)
def test_another_type_is_another_fingerprint(one: Any, other: Any) -> None:
    assert fingerprint(model(f=one)) != fingerprint(model(f=other))


def test_a_fingerprint_follows_the_fields() -> None:
    prints = [
        fingerprint(of)
        for of in (
            model(a=int),
            model(b=int),
            model(a=int, b=int),
            model(a=int, b=(int, 0)),
            model(a=model(a=int)),
            model(a=model(b=int)),
            model(),
        )
    ]
    assert len(set(prints)) == len(prints)


# --- restoring with another model -----------------------------------------------------------------

OLD = model(config=dict[str, str], memory=list[model(text=str, role=str)])  # type: ignore[misc]
MESSAGES = [{"text": "hi", "role": "user"}]
SAVED = {"config": {"a": "b"}, "memory": MESSAGES}


@pytest.fixture
def store() -> InMemoryStore:
    """A store with a session saved with the old model."""
    store = InMemoryStore()
    checkpoint.open(store, OLD, schema="made").save("user-42", OLD.model_validate(SAVED))
    return store


CHANGES: dict[str, tuple[type[BaseModel], tuple[str, ...]]] = {
    "field removed": (
        model(config=dict[str, str], memory=list[model(text=str)]),  # type: ignore[misc]
        ("memory[].role: str was removed",),
    ),
    "field added": (
        model(config=dict[str, str], memory=list[model(text=str, role=str, n=int)]),  # type: ignore[misc]
        ("memory[].n: int was added",),
    ),
    "field renamed": (
        model(config=dict[str, str], memory=list[model(body=str, role=str)]),  # type: ignore[misc]
        ("memory[].text: str was removed", "memory[].body: str was added"),
    ),
    "type changed": (
        model(config=dict[str, int], memory=list[model(text=str, role=str)]),  # type: ignore[misc]
        ("config: dict[str, str] became dict[str, int]",),
    ),
    "default added, field removed": (
        model(config=dict[str, str], n=(int, 0)),
        (
            "memory: list[object] was removed",
            "memory[].text: str was removed",
            "memory[].role: str was removed",
            "n: int (with a default) was added",
        ),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_model_changed_without_a_version_is_refused_and_told_how(
    store: InMemoryStore, name: str
) -> None:
    changed, told = CHANGES[name]
    cp = checkpoint.open(store, changed, schema="made")
    for attempt in (cp.restore, lambda session_id: cp.turn(session_id).__enter__()):
        with pytest.raises(SchemaChanged, match="raise the version") as caught:
            attempt("user-42")
        assert sorted(caught.value.changes) == sorted(told)
        for line in told:
            assert line in str(caught.value)
        assert (caught.value.session_id, caught.value.revision) == ("user-42", 1)
    assert checkpoint.open(store, OLD, schema="made").restore("user-42").state.model_dump() == SAVED


def test_fields_added_with_defaults_are_accepted_and_the_next_save_is_whole(
    store: InMemoryStore,
) -> None:
    item = model(text=str, role=str, seen=(bool, False))
    newer = model(config=dict[str, str], memory=list[item], cursors=(dict[str, Message], {}))  # type: ignore[valid-type]
    cp = checkpoint.open(store, newer, schema="made")
    with cp.turn("user-42") as turn:
        assert turn.state.model_dump() == {
            "config": {"a": "b"},
            "memory": [{"text": "hi", "role": "user", "seen": False}],
            "cursors": {},
        }
    assert turn.revision == 1, "a turn that changed nothing wrote"
    with cp.turn("user-42") as turn:
        turn.state.config["a"] = "c"  # type: ignore[attr-defined]
    assert [snapshot.kind for snapshot in cp.history("user-42")] == ["base", "base"]
    assert cp.document("user-42")["memory"][0]["seen"] is False
    with pytest.raises(SchemaChanged):
        checkpoint.open(store, OLD, schema="made").restore("user-42")
    old = checkpoint.open(store, OLD, schema="made").restore("user-42", revision=1).state
    assert old.model_dump() == SAVED


@pytest.mark.parametrize("first", [True, False])
def test_a_field_added_with_a_default_may_be_of_a_class_that_stands_elsewhere(first: bool) -> None:
    store = InMemoryStore()
    field: Any = (list[Message], [])
    more: Any = (Message | None, None)
    older = model(memory=field)
    newer = model(last=more, memory=field) if first else model(memory=field, last=more)
    checkpoint.open(store, older, schema="made").save("user-42", older())
    assert checkpoint.open(store, newer, schema="made").restore("user-42").state == newer()


def test_a_field_that_gained_or_lost_its_default_is_still_read() -> None:
    store = InMemoryStore()
    required, optional = model(n=int), model(n=(int, 0))
    checkpoint.open(store, required, schema="made").save("a", required(n=1))
    checkpoint.open(store, optional, schema="made").save("b", optional(n=2))
    assert checkpoint.open(store, optional, schema="made").restore("a").state == optional(n=1)
    assert checkpoint.open(store, required, schema="made").restore("b").state == required(n=2)


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("other", 1, ["'made'", "'other'"]),
        ("made", 2, ["version 1", "version 2", "older"]),
    ],
)
def test_another_schema_or_version_is_refused_and_both_are_named(
    store: InMemoryStore, name: str, version: int, words: list[str]
) -> None:
    cp = checkpoint.open(store, OLD, schema=name, version=version)
    with pytest.raises(SchemaMismatch) as caught:
        cp.restore("user-42")
    assert not isinstance(caught.value, SchemaChanged)
    assert (caught.value.session_id, caught.value.revision) == ("user-42", 1)
    for word in words:
        assert word in str(caught.value)


def test_another_version_is_refused_with_how_to_migrate(store: InMemoryStore) -> None:
    checkpoint.open(store, OLD, schema="made", version=1).save("another", OLD.model_validate(SAVED))
    with pytest.raises(SchemaMismatch, match=r"restore it with the model of version 1 and over"):
        checkpoint.open(store, OLD, schema="made", version=2).restore("another")


def test_a_newer_version_is_refused_and_told_as_newer(store: InMemoryStore) -> None:
    newer = checkpoint.open(store, OLD, schema="made", version=7)
    newer.save("another", OLD.model_validate(SAVED))
    with pytest.raises(SchemaMismatch, match=r"version 7 .* newer than version 1"):
        checkpoint.open(store, OLD, schema="made").restore("another")


def test_a_typed_session_is_not_read_as_a_dict_nor_a_dict_as_a_model(store: InMemoryStore) -> None:
    with pytest.raises(SchemaMismatch, match="'made'"):
        checkpoint.open(store).restore("user-42")
    checkpoint.open(store).save("plain", SAVED)
    with pytest.raises(SchemaMismatch, match="'dict'"):
        checkpoint.open(store, OLD, schema="made").restore("plain")


# --- naming a schema ------------------------------------------------------------------------------


def test_a_schema_is_named_by_the_class_line_then_by_open_then_by_the_class() -> None:
    class Named(AgentState, schema="support", version=3):
        pass

    class Plain(BaseModel):
        pass

    assert str(ModelSchema(Named).id) == "support v3"
    assert str(ModelSchema(Named, "other", 4).id) == "other v4"
    assert str(ModelSchema(Plain).id) == "Plain v1"


def test_a_subclass_is_another_schema_until_it_says_so() -> None:
    class Named(AgentState, schema="support", version=3):
        pass

    class Sub(Named):
        pass

    assert str(ModelSchema(Sub).id) == "Sub v1"


@pytest.mark.parametrize(
    "options",
    [
        {"schema": "a"},
        {"version": 1},
        {"schema": "a", "version": 0},
        {"schema": "a", "version": "1"},
    ],
    ids=str,
)
def test_a_class_line_with_half_a_schema_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="schema="):
        type("Half", (AgentState,), {}, **options)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: ModelSchema(Message, "made", -1),
        lambda: ModelSchema(Message, "made", 1.5),  # type: ignore[arg-type]
        lambda: ModelSchema(int),
        lambda: ModelSchema(list[int]),
        lambda: ModelSchema(Message()),  # type: ignore[arg-type, call-arg]
    ],
)
def test_what_is_no_schema_is_refused(attempt: Callable[[], object]) -> None:
    with pytest.raises((InvalidOption, ValueError)):
        attempt()


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 513])
def test_a_name_that_no_store_could_keep_is_refused(name: str) -> None:
    with pytest.raises((InvalidId, InvalidOption)):
        checkpoint.open("memory://", Message, schema=name).save("user-42", Message(role="a"))


def test_a_first_state_that_the_model_cannot_make_is_asked_for() -> None:
    with checkpoint.open("memory://", Message) as cp:
        with pytest.raises(InvalidOption, match=r"role.*new="), cp.turn("user-42"):
            pass
        with cp.turn("user-42", new=lambda: Message(role="user")) as turn:
            turn.state.content = "hi"
        assert cp.restore("user-42").state == Message(role="user", content="hi")
