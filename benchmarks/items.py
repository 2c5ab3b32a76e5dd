"""The kinds of memory items whose turns ``by_hand.py`` times, and the states they are kept in.

Every kind is made from the same texts, so that kinds differ by their types alone. The texts are
those of the generated conversations, without the short ones and cut to a few hundred bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from datetime import datetime, timedelta, timezone
from enum import Enum
from importlib.util import find_spec
from itertools import islice
from typing import Annotated, Any, Generic, Literal, TypeVar, get_origin
from uuid import NAMESPACE_OID, UUID, uuid5

from conversations import endless
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

import checkpoint
from checkpoint import AgentState, Checkpointer, Memory

Json = dict[str, Any]
T = TypeVar("T")

TEXTS = 10_000  # then they come again
SHORTEST, LONGEST = 100, 600  # characters
SEED = 1
BEGUN = datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=1)))


def _endless_texts() -> Iterator[str]:
    contents = (message.get("content") or "" for message in endless(SEED))
    return (content[:LONGEST] for content in contents if len(content) >= SHORTEST)


_further = _endless_texts()
_texts: list[str] = []  # as many as were asked for: making them all takes seconds


def text(number: int) -> str:
    """What is said in an item."""
    number %= TEXTS
    _texts.extend(islice(_further, max(0, number + 1 - len(_texts))))
    return _texts[number]


# --- what a person types -------------------------------------------------------------------------


class Plain(BaseModel):
    """A chat message of strings."""

    role: str
    content: str
    name: str | None = None
    tool_call_id: str | None = None


class FrozenPlain(Plain):
    """The same, never changed in place."""

    model_config = ConfigDict(frozen=True)


class Channel(Enum):
    """Where a message came in."""

    CHAT = "chat"
    MAIL = "mail"
    PHONE = "phone"


class TextPart(BaseModel):
    """A part of a message that is text."""

    kind: Literal["text"] = "text"
    text: str


class CallPart(BaseModel):
    """A part of a message that calls a tool."""

    kind: Literal["call"] = "call"
    tool: str
    arguments: str


class FrozenTextPart(TextPart):
    """The same, never changed in place."""

    model_config = ConfigDict(frozen=True)


class FrozenCallPart(CallPart):
    """The same, never changed in place."""

    model_config = ConfigDict(frozen=True)


Part = Annotated[TextPart | CallPart, Field(discriminator="kind")]
FrozenPart = Annotated[FrozenTextPart | FrozenCallPart, Field(discriminator="kind")]


class RichBase(BaseModel):
    """What the two rich kinds have in common."""

    id: UUID
    role: Literal["system", "user", "assistant", "tool"]
    content: str = Field(alias="text", min_length=1)
    at: AwareDatetime
    channel: Channel
    tokens: int = Field(ge=0)


class Rich(RichBase):
    """A message with the types that a careful model declares."""

    parts: list[Part]


class FrozenRich(RichBase):
    """The same, never changed in place, nor what is in it."""

    model_config = ConfigDict(frozen=True)

    parts: tuple[FrozenPart, ...]


class PlainAgent(AgentState, schema="by-hand-plain", version=1):
    """An agent with plain messages."""

    memory: Memory[Plain] = Memory()
    cursors: dict[str, int] = {}


class FrozenPlainAgent(AgentState, schema="by-hand-plain-frozen", version=1):
    """An agent with plain messages that never change."""

    memory: Memory[FrozenPlain] = Memory()
    cursors: dict[str, int] = {}


class RichAgent(AgentState, schema="by-hand-rich", version=1):
    """An agent with rich messages."""

    memory: Memory[Rich] = Memory()
    cursors: dict[str, int] = {}


class FrozenRichAgent(AgentState, schema="by-hand-rich-frozen", version=1):
    """An agent with rich messages that never change."""

    memory: Memory[FrozenRich] = Memory()
    cursors: dict[str, int] = {}


class ListAgent(AgentState, schema="by-hand-list", version=1):
    """An agent with plain messages in an ordinary list."""

    memory: list[Plain] = []  # type: ignore[assignment]  # AgentState has a Memory there
    cursors: dict[str, int] = {}


class Row(BaseModel, Generic[T]):
    """The state as somebody without the library has it: all of it in one row, as JSON."""

    config: Json = {}
    memory: list[T]
    cursors: dict[str, int] = {}


# --- kinds ---------------------------------------------------------------------------------------


def plain(number: int) -> Json:
    """The fields of a plain message."""
    role = "assistant" if number % 2 else "user"
    return {"role": role, "content": text(number), "name": None if number % 4 else "Ada"}


def rich(number: int) -> Json:
    """The fields of a rich message."""
    called = {"kind": "call", "tool": "find_orders", "arguments": f'{{"order": "#{number}"}}'}
    return {
        "id": uuid5(NAMESPACE_OID, str(number)),
        "role": "assistant" if number % 2 else "user",
        "text": text(number),
        "at": BEGUN + timedelta(seconds=37.25 * number),
        "channel": list(Channel)[number % 3],
        "tokens": number % 500,
        "parts": [{"kind": "text", "text": f"part {number}"}, *([called] if number % 2 else [])],
    }


class Kind:
    """One kind of items: how they are made, looked at and changed, and written as JSON by hand.

    Args:
        name: what the kind is called.
        item: the model of an item.
        state: the model of the state, with the items in ``memory``.
        fields: those of an item, by its number.
    """

    def __init__(self, name: str, item: type[BaseModel], state: type[Any], fields: Any) -> None:
        self.name = name
        self.frozen = bool(item.model_config.get("frozen"))
        self.windowed = get_origin(state.model_fields["memory"].annotation) is Memory
        self._item = item
        self._state = state
        self._row: Any = Row[item]  # type: ignore[valid-type]
        self._fields = fields

    # with the library

    def open(self, url: str, **options: Any) -> Checkpointer[Any]:
        """A checkpointer of states with such items."""
        return checkpoint.open(url, self._state, **options)

    def state(self, items: Sequence[Any]) -> Any:
        """A state with these items."""
        return self._state(memory=items)

    def items(self, state: Any) -> MutableSequence[Any]:
        """The items of a state, or of a row."""
        found: MutableSequence[Any] = state.memory
        return found

    # one by one

    def made(self, number: int) -> Any:
        """A new item; the same for the same number."""
        return self._item.model_validate(self._fields(number))

    def look(self, items: Iterable[Any]) -> int:
        """Read an attribute of each; return the characters of all."""
        return sum([len(item.content) for item in items])

    def edit(self, items: MutableSequence[Any], index: int, like: Any) -> None:
        """Change what one says: in place, or by a changed copy in its place if it is frozen."""
        content = f"Correction: {like.content}"
        if self.frozen:
            items[index] = items[index].model_copy(update={"content": content})
        else:
            items[index].content = content

    # by hand

    def dumped(self, item: Any) -> str:
        """An item as JSON."""
        return str(item.model_dump_json(by_alias=True))

    def loaded(self, data: str) -> Any:
        """An item from JSON, validated."""
        return self._item.model_validate_json(data)

    def dumped_row(self, row: Any) -> str:
        """A whole state as JSON."""
        return str(row.model_dump_json(by_alias=True))

    def loaded_row(self, data: str) -> Any:
        """A whole state from JSON, validated."""
        return self._row.model_validate_json(data)

    def new_row(self, items: Sequence[Any]) -> Any:
        """A state with these items."""
        return self._row(memory=items)


class Dicts(Kind):
    """Messages without a model: dicts in a list in a dict."""

    def __init__(self) -> None:
        self.name = "dict"
        self.frozen = self.windowed = False

    def open(self, url: str, **options: Any) -> Checkpointer[Any]:
        return checkpoint.open(url, **options)

    def state(self, items: Sequence[Any]) -> Any:
        return {"messages": list(items)}

    new_row = state

    def items(self, state: Any) -> MutableSequence[Any]:
        found: MutableSequence[Any] = state["messages"]
        return found

    def made(self, number: int) -> Any:
        return plain(number)

    def look(self, items: Iterable[Any]) -> int:
        return sum([len(item["content"]) for item in items])

    def edit(self, items: MutableSequence[Any], index: int, like: Any) -> None:
        items[index]["content"] = f"Correction: {like['content']}"

    def dumped(self, item: Any) -> str:
        return json.dumps(item)

    def loaded(self, data: str) -> Any:
        return json.loads(data)

    def dumped_row(self, row: Any) -> str:
        return json.dumps(row)

    def loaded_row(self, data: str) -> Any:
        return json.loads(data)


LANGCHAIN = "langchain"
NAMES = ("plain", "plain-frozen", "rich", "rich-frozen", LANGCHAIN, "dict", "list")


def kinds(names: Sequence[str] = NAMES) -> dict[str, Kind]:
    """Kinds by their name; that of LangChain only where its package is installed."""
    found = [
        Kind("plain", Plain, PlainAgent, plain),
        Kind("plain-frozen", FrozenPlain, FrozenPlainAgent, plain),
        Kind("rich", Rich, RichAgent, rich),
        Kind("rich-frozen", FrozenRich, FrozenRichAgent, rich),
        Dicts(),
        Kind("list", Plain, ListAgent, plain),
    ]
    if LANGCHAIN in names and find_spec("langchain_core"):
        from langchain_items import AIMessage, LangChainAgent, ai_message

        found.append(Kind(LANGCHAIN, AIMessage, LangChainAgent, ai_message))
    by_name = {kind.name: kind for kind in found}
    return {name: by_name[name] for name in names if name in by_name}
