"""The store registry: opens the store that a URL names, by its scheme.

Drivers register under the entry-point group ``checkpoint.stores``: the name is the scheme, the
value a function from the URL to a :class:`~checkpoint.store.Store`. A driver may define
``open_async_store`` beside it, from the URL to an :class:`~checkpoint.store.AsyncStore`. Without
it, the blocking store runs in threads.

The drivers of this distribution are also listed in :data:`OURS`, because reading the metadata of
every installed distribution takes longer than the rest of a cold start. A test checks that the two
agree.
"""

from __future__ import annotations

import re
from importlib import import_module
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from checkpoint.errors import InvalidOption, UnknownStore

if TYPE_CHECKING:
    from checkpoint.store import AsyncStore, Store

GROUP = "checkpoint.stores"
ASYNC = "open_async_store"
OURS = {
    "file": "checkpoint_objectstore.directory:open_store",
    "memory": "checkpoint._stores.inmemory:open_store",
    "s3": "checkpoint_objectstore._s3_url:open_store",
    "sqlite": "checkpoint_sql.sqlite:open_store",
}

_PARAMETER = re.compile(r"([?&;])([^=&;]*)=[^&;]*")
_SECRET = re.compile(r"(?i)pass|pwd|secret|token|key|credential|signature")


def redact(url: str) -> str:
    """A store's URL without anything that may be secret, for messages.

    Example:
        >>> redact("postgresql://app:hunter2@db/agents?sslpassword=x")
        'postgresql://app:***@db/agents?sslpassword=***'
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    # A password may contain any character unescaped: remove all from the colon to the last @.
    login, at, host = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    if at and colon:
        rest = f"{user}:***@{host}"
    return _PARAMETER.sub(_without_secret, f"{scheme}{separator}{rest}")


def _without_secret(parameter: re.Match[str]) -> str:
    mark, name = parameter.groups()
    return f"{mark}{name}=***" if _SECRET.search(unquote(name)) else parameter.group()


def open_store(store: str | Store) -> Store:
    """Open the store that a URL names, or return the given store. Connects to nothing yet.

    Raises:
        UnknownStore: no driver is installed for the scheme.
        InvalidOption: it is neither a URL nor a store, or the driver rejects a part of the URL.
    """
    if not isinstance(store, str):
        if _is_async(store):
            raise InvalidOption(
                f"{type(store).__name__} is an asynchronous store; open it with open_async"
            )
        return store
    container, name = _opener(store)
    opened: Store = getattr(container, name)(store)
    return opened


def open_async_store(store: str | Store | AsyncStore) -> AsyncStore:
    """Like :func:`open_store`, for asynchronous stores; a blocking store runs in threads."""
    from checkpoint._stores.threads import ThreadedStore

    if not isinstance(store, str):
        if _is_async(store):
            return cast("AsyncStore", store)
        return ThreadedStore(cast("Store", store))
    container, name = _opener(store)
    if (opener := getattr(container, ASYNC, None)) is not None:
        opened: AsyncStore = opener(store)
        return opened
    return ThreadedStore(getattr(container, name)(store))


def _opener(url: str) -> tuple[Any, str]:
    """The module or class with the function that opens a URL, and its name there."""
    if "://" not in url:
        raise InvalidOption(f"a store URL looks like sqlite:///agents.db, not {redact(url)!r}")
    scheme = url.partition("://")[0].lower()
    target = OURS.get(scheme) or _registered(scheme, url)
    module, _, function = target.partition(":")
    *around, name = function.strip().split(".")
    container: Any = import_module(module.strip())
    for part in around:
        container = getattr(container, part)
    return container, name


def _is_async(store: object) -> bool:
    commit = getattr(store, "commit", None)
    if commit is None:
        raise InvalidOption(
            f"a store is a URL such as sqlite:///agents.db, or an object with the methods of "
            f"checkpoint.store.Store; {type(store).__name__} is neither"
        )
    return iscoroutinefunction(commit)


def _registered(scheme: str, url: str) -> str:
    from importlib.metadata import entry_points

    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if scheme in found:
        return f"{found[scheme].module}:{found[scheme].attr}"
    raise UnknownStore(
        f"no driver is installed for the scheme {scheme!r} of {redact(url)!r}; known schemes: "
        f"{', '.join(sorted({*found, *OURS}))}. sqlite and memory need no extra; other drivers are "
        f"packages that register under the entry-point group {GROUP!r}"
    )
