"""The agent whose sessions the tests save: typed config, memory and cursors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pydantic import BaseModel

from checkpoint import AgentState, Memory


class Message(BaseModel):
    role: str
    content: str


class SupportConfig(BaseModel):
    model: str = "small"
    stop_words: list[str] = []


class Support(AgentState, schema="support", version=1):
    config: SupportConfig = SupportConfig()
    memory: Memory[Message] = Memory()
    cursors: dict[str, int] = {}


def said(text: str) -> Message:
    return Message(role="user", content=text)


def hears(state: Support, text: str) -> None:
    """What the turns of these tests do: append one message."""
    state.memory.append(said(text))


def hearing(text: str) -> Callable[[Support], None]:
    """The same as a function for ``run``."""
    return partial(hears, text=text)


def heard(state: Support) -> list[str]:
    return [message.content for message in state.memory]
