"""The hydrator: the records of a segment, and its pages, to a state, checked on the way.

Order of the checks: digests and sizes (:mod:`checkpoint.segment`, :mod:`checkpoint.pages`), the
schema's name, version and fields, then the model's own validation. A failure names session,
revision and path; nothing half-built is ever returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from checkpoint.codec import DecodeError, MissingTimeZone, decode, encode
from checkpoint.errors import CheckpointError, Damaged, InvalidOption, InvalidState
from checkpoint.ids import SessionKey
from checkpoint.items import ItemList, NewItems, Pages, list_at, value_at
from checkpoint.record import PageRef
from checkpoint.schema import Path, Schema, check_same
from checkpoint.segment import Loaded
from checkpoint.serializer import Origin, unsaved
from checkpoint.window import Source

S = TypeVar("S")


def wanted(document: Any, paths: Sequence[Path] = (), window: int = 0) -> list[PageRef]:
    """The pages without which a state cannot be built of a document.

    Args:
        paths: memories of which only the last items are needed.
        window: how many.
    """
    lists: list[Any] = []
    encode(document, lists)
    windowed = {id(list_at(document, path)) for path in paths}
    refs: dict[PageRef, None] = {}
    for items in lists:
        start = max(len(items) - window, 0) if id(items) in windowed else 0
        refs |= dict.fromkeys(items.refs(start, len(items)))
    return list(refs)


def plain(document: Any, pages: Pages) -> Any:
    """A document with its long lists as lists; LookupError without their pages."""
    lists: list[Any] = []
    encoded = encode(document, lists)
    return decode(encoded, [items.values(0, len(items), pages) for items in lists])


def hydrate(
    key: SessionKey,
    loaded: Loaded,
    schema: Schema[S],
    max_bytes: int,
    window: int | None = None,
    source: Source | None = None,
) -> tuple[S, Origin]:
    """Build a new state from a segment that was read, and the origin its next save needs.

    The segment holds a document: it does not end in a tombstone. The pages that are
    :func:`wanted` are at hand.

    Args:
        window: leave all but the last items of memories in the store.
        source: where those come from.

    Raises:
        SchemaMismatch, SchemaChanged: it was saved with another schema, version or model.
        InvalidState: the model's own validation refuses the stored document.
        Damaged: an item of it is no document.
    """
    header = loaded.header
    try:
        check_same(header.schema, loaded.fields, schema)
        document = _with_long_lists(loaded.document, schema.memories)
        # A copy: a state that is changed in place must not change what it is compared with.
        state = schema.build(_copy(document, schema, window, loaded.pages, source))
    except CheckpointError as exc:
        exc.namespace, exc.session_id, exc.revision = *key, header.revision
        raise
    except MissingTimeZone as exc:
        raise InvalidState(str(exc), **key._asdict(), revision=header.revision) from exc
    except DecodeError as exc:
        told = f"an item cannot be decoded ({exc})"
        raise Damaged(told, **key._asdict(), revision=header.revision) from exc
    origin = Origin(document, loaded.tip, False, loaded.pages, loaded.spilled)
    if header.schema == schema.id:
        return state, origin
    return state, unsaved(key, schema, state, loaded.tip, max_bytes, origin)


def check_window(window: object, schema: Schema[S]) -> None:
    """Raise InvalidOption unless a state of this schema can be restored with this window."""
    if window is None:
        return
    if type(window) is not int or window < 1:
        raise InvalidOption(f"window= is a number of items from 1 up, not {window!r:.40}")
    if not schema.memories:
        lists = [name for name, kind in schema.fields.items() if kind.startswith("list[")]
        told = f": {', '.join(lists)} is annotated list, which is always whole" if lists else ""
        raise InvalidOption(
            f"window= needs a field annotated Memory[...], and schema {schema.id} has none{told}"
        )


def _copy(
    document: Any, schema: Schema[S], window: int | None, pages: Pages, source: Source | None
) -> Any:
    lists: list[Any] = []
    encoded = encode(document, lists)
    memories = {id(list_at(document, path)): path for path in schema.memories}
    parts: list[Any] = []
    for items in lists:
        path = memories.get(id(items))
        first = 0 if window is None or path is None else len(items) - window
        if source is not None and path is not None and first > 0:
            pieces = [range(first), items.items(first, len(items), pages)]
            parts.append(NewItems(pieces, items, source._replace(path=path)))
        else:
            parts.append(items.values(0, len(items), pages))
    return decode(encoded, parts)


def _with_long_lists(document: Any, paths: tuple[Path, ...]) -> Any:
    """The document with all memories as long lists, also those that were saved as plain ones."""
    for path in paths:
        items = value_at(document, path)
        if type(items) is not list:
            continue
        document = parent = dict(document)
        for name in path[:-1]:
            parent[name] = dict(parent[name])
            parent = parent[name]
        parent[path[-1]] = ItemList([list(map(encode, items))])
    return document
