"""Adapters convert a live agent that is not itself a model to a state, and back."""

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
        """Return the state of an agent, without changing the agent."""

    def build(self, state: S, /) -> T:
        """Make a live agent from a state. None is an agent like any other."""


class AsyncAdapter(Protocol[S, T]):
    """:class:`Adapter` with coroutines, for ``open_async``; that also accepts a plain one."""

    def capture(self, agent: T, /) -> S | Awaitable[S]:
        """Return the state of an agent, without changing the agent."""

    async def build(self, state: S, /) -> T:
        """Make a live agent from a state."""


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
            f"an adapter needs the methods capture(agent) and build(state); "
            f"{type(adapter).__name__} has no {' and no '.join(missing)}"
        )


def with_build(adapter: Any, build: Callable[[Any], Awaitable[Any] | Any] | None) -> Any:
    """The adapter of a turn, with ``build`` instead of its own if given.

    Raises:
        InvalidOption: there is no adapter to capture the state of the agent.
    """
    if build is None:
        return adapter
    if adapter is None:
        raise InvalidOption(
            "build= needs an adapter to capture the state: open the store with adapter=, or with "
            "capture= and build="
        )
    return Functions(adapter.capture, build)
