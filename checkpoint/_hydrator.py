"""Hydrator: builds a state from the records of a segment and its pages, and checks them.

Order of the checks: digests and sizes (:mod:`checkpoint._records.segment`,
:mod:`checkpoint._records.page`), the schema's name, version and fields, then the model's own
validation. A failure names session, revision and path; nothing half-built is ever returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from checkpoint._document.codec import DecodeError, MissingTimeZone, decode, encode
from checkpoint._document.items import ItemList, NewItems, Pages, list_at, value_at
from checkpoint._document.pages import PageRef
from checkpoint._ids import SessionKey
from checkpoint._records.baseline import Baseline
from checkpoint._state.known import KnownItems
from checkpoint._state.lazy import Undecodable
from checkpoint._state.page_loader import PageLoader
from checkpoint._state.schema import Path, Schema, check_same
from checkpoint.errors import CheckpointError, Damaged, InvalidOption, InvalidState

S = TypeVar("S")


def wanted(known: Baseline, paths: Sequence[Path] = (), window: int = 0) -> list[PageRef]:
    """The pages needed to build a state from a revision.

    Args:
        paths: memories of which only the last items are needed.
        window: number of these items.
    """
    windowed = {id(list_at(known.document, path)) for path in paths}
    refs: dict[PageRef, None] = {}
    for items in known.lists:
        start = max(len(items) - window, 0) if id(items) in windowed else 0
        refs |= dict.fromkeys(items.refs(start, len(items)))
    return list(refs)


def whole_document(known: Baseline, pages: Pages) -> Any:
    """The document of a revision, its long lists as lists; LookupError if a page is missing."""
    lists = [items.values(0, len(items), pages) for items in known.lists]
    return decode(known.encoded, lists)


def hydrate(
    key: SessionKey,
    known: Baseline,
    schema: Schema[S],
    window: int | None,
    loader: PageLoader,
    known_items: Callable[[Path], KnownItems],
) -> tuple[S, Baseline]:
    """Build a new state from a revision; return it, and the revision with memories as long lists.

    The revision must not be a tombstone, and the :func:`wanted` pages must be loaded.

    Args:
        window: number of last items that were fetched of each memory; None: all.
        loader: loads the other items.
        known_items: returns the known items of a memory; those found valid before are not validated
            again.

    Raises:
        SchemaMismatch, SchemaChanged: the revision has another schema, version or model.
        InvalidState: the model's own validation refuses the stored document.
        Damaged: an item is not a document.
    """
    header = known.header
    try:
        check_same(header.schema, known.fields, schema)
        known = _with_long_lists(known, schema.memories)
        paths = {id(list_at(known.document, path)): path for path in schema.memories}
        # Defaults of new fields must be stored with the items, so the items are built.
        is_other = header.schema != schema.id
        parts: list[Any] = []
        for items in known.lists:
            path = paths.get(id(items))
            first = 0 if window is None or path is None else max(len(items) - window, 0)
            if path is None or (not first and (path in schema.eager or is_other)):
                parts.append(items.values(0, len(items), known.pages))
            elif is_other:
                pieces: list[Any] = [range(first), items.items(first, len(items), known.pages)]
                parts.append(NewItems(pieces, items, loader.of(path), first))
            elif path in schema.eager:
                parts.append(NewItems([range(len(items))], items, loader.of(path), first))
            else:
                of = loader.of(path, known_items(path))
                parts.append(NewItems([range(len(items))], items, of, first))
        state = schema.build(decode(known.encoded, parts))
    except CheckpointError as exc:
        exc.at(key, header.revision)
        raise
    except Undecodable as exc:
        with loader.of(exc.path).errors():
            raise exc.reason from exc
    except MissingTimeZone as exc:
        raise InvalidState(str(exc)).at(key, header.revision) from exc
    except DecodeError as exc:
        reason = f"an item cannot be decoded ({exc})"
        raise Damaged(reason).at(key, header.revision) from exc
    return state, known


def check_window(window: object, schema: Schema[S]) -> None:
    """Raise InvalidOption unless a state of this schema can be restored with this window."""
    if window is None:
        return
    if type(window) is not int or window < 1:
        raise InvalidOption(f"window= is a number of items from 1 up, not {window!r:.40}")
    if not schema.memories:
        lists = [name for name, kind in schema.fields.items() if kind.startswith("list[")]
        hint = f": {', '.join(lists)} is annotated list, which is always whole" if lists else ""
        raise InvalidOption(
            f"window= needs a field annotated Memory[...], and schema {schema.id} has none{hint}"
        )


def _with_long_lists(known: Baseline, paths: tuple[Path, ...]) -> Baseline:
    """The revision with all memories as long lists, even those saved as plain lists."""
    document = known.document
    for path in paths:
        items = value_at(document, path)
        if type(items) is not list:
            continue
        document = parent = dict(document)
        for name in path[:-1]:
            parent[name] = dict(parent[name])
            parent = parent[name]
        parent[path[-1]] = ItemList([list(map(encode, items))])
    return known if document is known.document else known.with_document(document)
