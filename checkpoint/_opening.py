"""``open``, ``open_async`` and ``preload``: where everything begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

from checkpoint._ids import check_id
from checkpoint._limits import MAX_BYTES, Limits
from checkpoint._records.retention import Retention
from checkpoint._runtime.adapter import Adapter, AsyncAdapter, Functions, check_adapter
from checkpoint._runtime.cache import CACHE_BYTES, Cache
from checkpoint._runtime.keywatch import KeyWatch
from checkpoint._runtime.options import Options
from checkpoint._state.schema import DictSchema, ModelSchema
from checkpoint._stores.registry import open_async_store, open_store, redact
from checkpoint.errors import InvalidOption

if TYPE_CHECKING:
    from checkpoint._async.checkpointer import AsyncCheckpointer
    from checkpoint._sync.checkpointer import Checkpointer
    from checkpoint.store import AsyncStore, Store

S = TypeVar("S")
T = TypeVar("T")


class _Settings(TypedDict, total=False):
    """The arguments that every form of ``open`` has."""

    namespace: str
    replica: str
    max_bytes: int
    cache_bytes: int
    retention: Retention | None


class _ModelSettings(_Settings, total=False):
    """The arguments that ``open`` has where the state is a model."""

    schema: str | None
    version: int | None


@overload
def open(store: str | Store, **settings: Unpack[_Settings]) -> Checkpointer[dict[str, Any]]: ...
@overload
def open(
    store: str | Store, state: type[S], **settings: Unpack[_ModelSettings]
) -> Checkpointer[S]: ...
@overload
def open(
    store: str | Store,
    state: type[S],
    *,
    adapter: Adapter[S, T],
    **settings: Unpack[_ModelSettings],
) -> Checkpointer[S, T]: ...
@overload
def open(
    store: str | Store,
    state: type[S],
    *,
    capture: Callable[[Any], S],
    build: Callable[[S], T],
    **settings: Unpack[_ModelSettings],
) -> Checkpointer[S, T]: ...
def open(
    store: str | Store,
    state: type[Any] | None = None,
    *,
    adapter: Any = None,
    capture: Callable[[Any], Any] | None = None,
    build: Callable[[Any], Any] | None = None,
    schema: str | None = None,
    version: int | None = None,
    namespace: str = "default",
    replica: str = "",
    max_bytes: int = MAX_BYTES,
    cache_bytes: int = CACHE_BYTES,
    retention: Retention | None = None,
) -> Checkpointer[Any, Any]:
    """Open a store of agent sessions.

    Args:
        store: URL of the store, such as ``sqlite:///agents.db`` (four slashes for an absolute
            path) or ``memory://``; or a store object.
        state: the model of the states: an ``AgentState``, any pydantic model, or None for dicts.
        adapter: for a live agent that is not itself a model, an :class:`Adapter`: its method
            ``capture(agent)`` returns the state, and ``build(state)`` an agent. ``turn.agent`` is
            then that agent.
        capture, build: the same as two functions.
        schema, version: name and version of the schema, for a model that does not carry them.
        namespace: sessions of one namespace are not seen from another; one for each tenant, say.
        replica: a name for this writer, noted in what it saves and told in conflicts.
        max_bytes: the largest encoded state to save or restore, in bytes; of a state restored with
            ``window=``, what is loaded of it.
        cache_bytes: how much is kept in memory of the sessions served last, so that an unchanged
            one is not sent again, and of items that cannot be changed, so that they are built once;
            in bytes as encoded. 0 keeps nothing.
        retention: the rule by which old revisions are removed as sessions are saved; by default
            every revision stays.

    Raises:
        UnknownStore: no driver is installed for the scheme of the URL.
        InvalidOption: an argument or a part of the URL has no meaning.

    Example:
        >>> cp = checkpoint.open("memory://")
        >>> with cp.turn("user-42") as turn:
        ...     turn.state["greeted"] = True
        >>> cp.restore("user-42").state
        {'greeted': True}
    """
    from checkpoint._sync.checkpointer import Checkpointer

    options = _options(
        store,
        state,
        _adapter(adapter, capture, build),
        schema,
        version,
        namespace,
        replica,
        max_bytes,
        cache_bytes,
        retention,
    )
    return Checkpointer(open_store(store), options)


@overload
def open_async(
    store: str | Store | AsyncStore, **settings: Unpack[_Settings]
) -> AsyncCheckpointer[dict[str, Any]]: ...
@overload
def open_async(
    store: str | Store | AsyncStore, state: type[S], **settings: Unpack[_ModelSettings]
) -> AsyncCheckpointer[S]: ...
@overload
def open_async(
    store: str | Store | AsyncStore,
    state: type[S],
    *,
    adapter: AsyncAdapter[S, T],
    **settings: Unpack[_ModelSettings],
) -> AsyncCheckpointer[S, T]: ...
@overload
def open_async(
    store: str | Store | AsyncStore,
    state: type[S],
    *,
    adapter: Adapter[S, T],
    **settings: Unpack[_ModelSettings],
) -> AsyncCheckpointer[S, T]: ...
@overload
def open_async(
    store: str | Store | AsyncStore,
    state: type[S],
    *,
    capture: Callable[[Any], S | Awaitable[S]],
    build: Callable[[S], Awaitable[T]],
    **settings: Unpack[_ModelSettings],
) -> AsyncCheckpointer[S, T]: ...
@overload
def open_async(
    store: str | Store | AsyncStore,
    state: type[S],
    *,
    capture: Callable[[Any], S | Awaitable[S]],
    build: Callable[[S], T],
    **settings: Unpack[_ModelSettings],
) -> AsyncCheckpointer[S, T]: ...
def open_async(
    store: str | Store | AsyncStore,
    state: type[Any] | None = None,
    *,
    adapter: Any = None,
    capture: Callable[[Any], Any] | None = None,
    build: Callable[[Any], Any] | None = None,
    schema: str | None = None,
    version: int | None = None,
    namespace: str = "default",
    replica: str = "",
    max_bytes: int = MAX_BYTES,
    cache_bytes: int = CACHE_BYTES,
    retention: Retention | None = None,
) -> AsyncCheckpointer[Any, Any]:
    """Open a store of agent sessions, asynchronously; the arguments are those of :func:`open`.

    ``capture`` and ``build`` may be ``async`` functions. Nothing is connected here, so there is
    nothing to await; use the result with ``async with``. A store that only blocks runs in threads.

    Raises:
        UnknownStore, InvalidOption: see :func:`open`.

    Example:
        >>> async def main():
        ...     async with checkpoint.open_async("memory://") as cp:
        ...         async with cp.turn("user-42") as turn:
        ...             turn.state["greeted"] = True
        ...         return (await cp.restore("user-42")).state
        >>> asyncio.run(main())
        {'greeted': True}
    """
    from checkpoint._async.checkpointer import AsyncCheckpointer

    options = _options(
        store,
        state,
        _adapter(adapter, capture, build),
        schema,
        version,
        namespace,
        replica,
        max_bytes,
        cache_bytes,
        retention,
    )
    return AsyncCheckpointer(open_async_store(store), options)


def preload(url: str | None = None) -> None:
    """Import now what the first save and restore would import, and the driver of a store.

    For serverless platforms, whose start-up time is free or measured apart. Connects nothing. The
    drivers of S3 also prepare what every client needs, which takes longer than to import them.

    Args:
        url: a store's URL, whose driver is imported too.

    Raises:
        UnknownStore, InvalidOption: see :func:`open`.

    Example:
        >>> checkpoint.preload("sqlite:///agents.db")
    """
    import checkpoint._sync.checkpointer  # noqa: F401

    if url is not None:
        store = open_store(url)
        getattr(store, "preload", lambda: None)()  # not every driver has something to do
        store.close()


def _adapter(adapter: Any, capture: Any, build: Any) -> Any:
    """The adapter that was given, as an object or as two functions; None if there is none."""
    if (capture is None) != (build is None):
        raise InvalidOption("an adapter needs both capture= and build=")
    if adapter is None:
        return None if capture is None else Functions(capture, build)
    if capture is not None:
        raise InvalidOption("give either adapter=, or capture= and build=")
    check_adapter(adapter)
    return adapter


def _options(
    store: object,
    state: type[Any] | None,
    adapter: Any,
    schema: str | None,
    version: int | None,
    namespace: str,
    replica: str,
    max_bytes: int,
    cache_bytes: int,
    retention: Retention | None,
) -> Options[Any]:
    given = [argument for argument in (schema, version, adapter) if argument is not None]
    if state in (None, dict) and given:
        raise InvalidOption("schema=, version=, adapter=, capture= and build= need a state model")
    if type(max_bytes) is not int or max_bytes < 1:
        raise InvalidOption(f"max_bytes is a number of bytes above 0, not {max_bytes!r:.40}")
    if type(cache_bytes) is not int or cache_bytes < 0:
        raise InvalidOption(f"cache_bytes is a number of bytes from 0 up, not {cache_bytes!r:.40}")
    of: DictSchema | ModelSchema[Any]
    of = DictSchema() if state in (None, dict) else ModelSchema(state, schema, version)
    return Options(
        store=redact(store) if isinstance(store, str) else type(store).__name__,
        schema=of,
        namespace=check_id(namespace, "namespace"),
        replica=check_id(replica, "replica name") if replica else "",
        limits=Limits(max_bytes),
        adapter=adapter,
        watch=KeyWatch(),
        cache=Cache(cache_bytes, of.memories),
        retention=retention,
    )


for _public in (open, open_async, preload):
    _public.__module__ = "checkpoint"
