"""Adapters: how a live agent that is not itself a model becomes a state, and is built from one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from checkpoint.errors import InvalidOption

S = TypeVar("S")
T = TypeVar("T")


class Adapter(Protocol[S, T]):
    """Converts between a live agent and its state, for ``open(..., adapter=...)``.

    Any object with these two methods is an adapter.

    Example:
        >>> class BotState(checkpoint.AgentState, schema="bot", version=1):
        ...     memory: list = []
        >>> class Bot:
        ...     def __init__(self, seen):
        ...         self.seen = seen
        >>> class BotAdapter:
        ...     def capture(self, agent):
        ...         return BotState(memory=agent.seen)
        ...     def build(self, state):
        ...         return Bot(list(state.memory))
        >>> bots = checkpoint.open("memory://", BotState, adapter=BotAdapter())
        >>> with bots.turn("bot-7") as turn:
        ...     turn.agent.seen.append("hi")
        >>> bots.restore("bot-7").agent.seen
        ['hi']
    """

    def capture(self, agent: T, /) -> S:
        """The state of an agent; the agent stays as it is."""

    def build(self, state: S, /) -> T:
        """A live agent made from a state."""


class AsyncAdapter(Protocol[S, T]):
    """:class:`Adapter` for ``open_async``, with coroutines. A plain one is accepted there too."""

    async def capture(self, agent: T, /) -> S:
        """The state of an agent; the agent stays as it is."""

    async def build(self, state: S, /) -> T:
        """A live agent made from a state."""


for _public in (Adapter, AsyncAdapter):
    _public.__module__ = "checkpoint"


class Functions(NamedTuple):
    """An adapter made of the functions ``capture=`` and ``build=``."""

    capture: Callable[[Any], Any]
    build: Callable[[Any], Any]


def check_adapter(adapter: object) -> None:
    """Raise InvalidOption unless an object has the methods of an adapter."""
    missing = [name for name in ("capture", "build") if not callable(getattr(adapter, name, None))]
    if missing:
        raise InvalidOption(
            f"an adapter has the methods capture(agent) and build(state); "
            f"{type(adapter).__name__} has no {' and no '.join(missing)}"
        )


def with_build(adapter: object, build: Callable[[Any], Awaitable[Any] | Any] | None) -> Any:
    """The adapter of one turn, which may build its agent in another way.

    Raises:
        InvalidOption: there is no adapter, so nothing could capture the state of the agent.
    """
    if build is None:
        return adapter
    if adapter is None:
        raise InvalidOption(
            "build= needs something that captures the state of what it builds: open the store "
            "with adapter=, or with capture= and build="
        )
    return Functions(adapter.capture, build)  # type: ignore[attr-defined]  # checked when opened
