"""From a store's URL to the store: by its scheme, to the function that opens it.

Drivers register under the entry-point group ``checkpoint.stores``: name = scheme, value = a
function from the URL to a :class:`~checkpoint.store.Store`. Those of this distribution are in
:data:`OURS` too, since reading the metadata of every installed distribution takes longer than the
rest of a cold start; a test holds the two equal.
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
OURS = {
    "file": "checkpoint_objectstore.directory:open_store",
    "memory": "checkpoint.inmemory:open_store",
    "s3": "checkpoint_objectstore.s3:open_store",
    "sqlite": "checkpoint_sql.sqlite:open_store",
}

_PARAMETER = re.compile(r"([?&;])([^=&;]*)=[^&;]*")
_SECRET = re.compile(r"(?i)pass|pwd|secret|token|key|credential|signature")


def redact(url: str) -> str:
    """A store's URL without what may be secret in it, for messages.

    Example:
        >>> redact("postgresql://app:hunter2@db/agents?sslpassword=x")
        'postgresql://app:***@db/agents?sslpassword=***'
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    # A password may hold any character unescaped, so all from the user's colon to the last @ goes.
    login, at, host = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    if at and colon:
        rest = f"{user}:***@{host}"
    return _PARAMETER.sub(_without_secret, f"{scheme}{separator}{rest}")


def _without_secret(parameter: re.Match[str]) -> str:
    mark, name = parameter.groups()
    return f"{mark}{name}=***" if _SECRET.search(unquote(name)) else parameter.group()


def open_store(store: str | Store) -> Store:
    """The store that a URL names, or the given one; nothing is connected yet.

    Raises:
        UnknownStore: no driver is installed for the scheme.
        InvalidOption: it is neither, or the driver does not know a part of the URL.
    """
    if not isinstance(store, str):
        if _is_async(store):
            raise InvalidOption(
                f"{type(store).__name__} is an asynchronous store; open it with open_async"
            )
        return store
    if "://" not in store:
        raise InvalidOption(
            f"a store is named by a URL such as sqlite:///agents.db, not {redact(store)!r}"
        )
    scheme = store.partition("://")[0].lower()
    if scheme in OURS:
        module, _, function = OURS[scheme].partition(":")
        opener: Any = getattr(import_module(module), function)
    else:
        opener = _registered(scheme, store)
    opened: Store = opener(store)
    return opened


def open_async_store(store: str | Store | AsyncStore) -> AsyncStore:
    """Like :func:`open_store`, asynchronous; a blocking store is run in threads."""
    from checkpoint.threads import ThreadedStore

    if not isinstance(store, str) and _is_async(store):
        return cast("AsyncStore", store)
    return ThreadedStore(open_store(cast("str | Store", store)))


def _is_async(store: object) -> bool:
    commit = getattr(store, "commit", None)
    if commit is None:
        raise InvalidOption(
            f"a store is a URL such as sqlite:///agents.db, or an object with the methods of "
            f"checkpoint.store.Store; {type(store).__name__} is neither"
        )
    return iscoroutinefunction(commit)


def _registered(scheme: str, url: str) -> Any:
    from importlib.metadata import entry_points

    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if scheme in found:
        return found[scheme].load()
    raise UnknownStore(
        f"no driver is installed for the scheme {scheme!r} of {redact(url)!r}; known here: "
        f"{', '.join(sorted({*found, *OURS}))}. sqlite and memory need no extra; other drivers are "
        f"packages that register under the entry-point group {GROUP!r}"
    )
