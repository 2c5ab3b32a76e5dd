"""The entry points: ``open``, ``open_async`` and ``preload``."""

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
        state: the model of the state: an ``AgentState`` or any pydantic model; None for dicts.
        adapter: an :class:`Adapter`, for a live agent that is not itself a model. Its method
            ``capture(agent)`` returns the agent's state, and ``build(state)`` makes an agent from
            it, available as ``turn.agent``.
        capture, build: the two methods of an adapter, as functions.
        schema, version: name and version of the schema, for a model that does not define them.
        namespace: separates sessions, for example by tenant. Sessions of other namespaces are not
            visible.
        replica: a name for this writer, stored with each save and shown in conflicts.
        max_bytes: the largest encoded state to save or restore, in bytes. If it is restored with
            ``window=``, only the loaded part counts.
        cache_bytes: size of the cache in encoded bytes; 0 disables it. It holds recent sessions,
            so that unchanged ones are not read again, and immutable items, so that they are built
            once.
        retention: the rule that removes old revisions when sessions are saved; by default every
            revision is kept.

    Raises:
        UnknownStore: no driver is installed for the scheme of the URL.
        InvalidOption: an argument or a part of the URL is invalid.

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
    """Open a store of agent sessions for asyncio; the arguments are those of :func:`open`.

    ``capture`` and ``build`` may be ``async`` functions. Do not await this call: it connects to
    nothing yet. Use the result with ``async with``. A blocking store runs in threads.

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
    """Import the modules that the first save and restore need, and the driver of a store.

    For serverless platforms, where start-up time is free or billed separately. Connects to nothing.
    The S3 drivers also prepare data that every client needs, which takes longer than the import.

    Args:
        url: URL of a store whose driver to import.

    Raises:
        UnknownStore, InvalidOption: see :func:`open`.

    Example:
        >>> checkpoint.preload("sqlite:///agents.db")
    """
    import checkpoint._sync.checkpointer  # noqa: F401

    if url is not None:
        store = open_store(url)
        getattr(store, "preload", lambda: None)()  # optional for drivers
        store.close()


def _adapter(adapter: Any, capture: Any, build: Any) -> Any:
    """The given adapter, from an object or from two functions; None if there is none."""
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
        raise InvalidOption(f"max_bytes must be an integer of 1 or more, not {max_bytes!r:.40}")
    if type(cache_bytes) is not int or cache_bytes < 0:
        raise InvalidOption(f"cache_bytes must be an integer of 0 or more, not {cache_bytes!r:.40}")
    model: DictSchema | ModelSchema[Any]
    model = DictSchema() if state in (None, dict) else ModelSchema(state, schema, version)
    return Options(
        store=redact(store) if isinstance(store, str) else type(store).__name__,
        schema=model,
        namespace=check_id(namespace, "namespace"),
        replica=check_id(replica, "replica name") if replica else "",
        limits=Limits(max_bytes),
        adapter=adapter,
        watch=KeyWatch(),
        cache=Cache(cache_bytes, model.memories),
        retention=retention,
    )


for _public in (open, open_async, preload):
    _public.__module__ = "checkpoint"
