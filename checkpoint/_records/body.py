"""Bodies: the contents of records, and the stored form of a document's nodes.

A body maps numbers to values. A base has the model's fields and the document; a patch has
operations; either may have the result of its turn. Parts of the document that are encoded
separately (*nodes*) follow it: long lists as runs of pages and of items in place, big values as the
pages that they were cut into. A page is identified by its position in the header's list. Growing
parts come last, so that the next patch is compressed against the end of an agent's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from checkpoint._document.codec import Node, decode, encode
from checkpoint._document.diff import DELETE, ITEMS, Patch, apply
from checkpoint._document.items import ItemList, NewItems, PageRun, Pages, Run
from checkpoint._document.pages import PageRef
from checkpoint._records.header import Kind
from checkpoint.errors import Damaged

DOCUMENT, OPERATIONS, FIELDS, RESULT, NODES = range(5)

_HOLDS = {Kind.BASE: {DOCUMENT, FIELDS}, Kind.PATCH: {OPERATIONS}, Kind.TOMBSTONE: set[int]()}
_MAY_HOLD = {kind: held | {RESULT, NODES} for kind, held in _HOLDS.items()}

_BASE, _TOMBSTONE = Kind.BASE, Kind.TOMBSTONE  # access to an enum's members is slow

_LIST, _VALUE, _MAP = range(3)  # first element of a stored node


class Spilled(Node):
    """A big value other than a list, cut into pages; a map is cut between its entries."""

    __slots__ = ("is_map", "refs")

    def __init__(self, refs: Sequence[PageRef], *, is_map: bool) -> None:
        self.refs = tuple(refs)
        self.is_map = is_map

    def value(self, pages: Pages) -> Any:
        """The value; LookupError if a page is missing."""
        parts = [pages[ref.id].raw for ref in self.refs]
        if not self.is_map:
            return decode(b"".join(parts))
        return {key: value for part in parts for key, value in decode(part).items()}


class Body(NamedTuple):
    """The body of a record, decoded as far as possible without pages."""

    content: bytes | Patch = b""
    nodes: tuple[ItemList | Spilled, ...] = ()
    fields: dict[str, str] = {}
    result: dict[int, Any] = {}

    def spilled(self) -> list[PageRef]:
        """The pages of big values, needed to build the document."""
        return [ref for node in self.nodes if isinstance(node, Spilled) for ref in node.refs]

    def build(self, pages: Pages) -> Any:
        """The document of a base, or the operations of a patch."""
        if not isinstance(self.content, bytes):
            return self.content
        return decode(
            self.content,
            [
                node.value(pages) if isinstance(node, Spilled) else node.copy()
                for node in self.nodes
            ],
        )


def base_body(
    document: Any, fields: dict[str, str], result: dict[int, Any]
) -> tuple[dict[int, Any], tuple[PageRef, ...]]:
    """The stored form of a base's body, and the pages that it names."""
    content, nodes, refs = _packed(document)
    body = {FIELDS: fields, **result, DOCUMENT: content}
    return (body | {NODES: nodes} if nodes else body), refs


def patch_body(
    operations: Patch, result: dict[int, Any]
) -> tuple[dict[int, Any], tuple[PageRef, ...]]:
    """The stored form of a patch's body, and the pages that it would have to name."""
    if _adds_items_only(operations):
        return {**result, OPERATIONS: operations}, ()
    content, nodes, refs = _packed(operations)
    if nodes:
        return {**result, OPERATIONS: content, NODES: nodes}, refs
    return {**result, OPERATIONS: operations}, refs


def standalone(operations: Patch) -> Patch:
    """Operations with complete lists in place of ``NewItems``."""
    if _adds_items_only(operations):
        return operations
    nodes: list[Node] = []
    encoded = encode(operations, nodes)
    if not nodes:
        return operations
    lists = [node.resolved() if isinstance(node, NewItems) else node for node in nodes]
    resolved: Patch = decode(encoded, lists)
    return resolved


def _adds_items_only(operations: Patch) -> bool:
    """Whether a patch, like most, only deletes keys and splices encoded items."""
    return all(operation[0] in (DELETE, ITEMS) for operation in operations)


def _packed(value: Any) -> tuple[bytes, list[Any], tuple[PageRef, ...]]:
    nodes: list[Node] = []
    content = encode(value, nodes)
    places: dict[PageRef, int] = {}

    def place(ref: PageRef) -> int:
        if ref.anchor is not None:
            places.setdefault(ref.anchor, len(places))
        return places.setdefault(ref, len(places))

    stored: list[list[Any]] = []
    for node in nodes:
        if isinstance(node, Spilled):
            kind = _MAP if node.is_map else _VALUE
            stored.append([kind, *map(place, node.refs)])
            continue
        assert isinstance(node, ItemList)
        stored.append(
            [
                _LIST,
                *(
                    run if isinstance(run, list) else [place(run.page), run.start, run.size]
                    for run in node.runs
                ),
            ]
        )
    return content, stored, tuple(places)


def read_body(kind: Kind, raw: bytes, pages: Sequence[PageRef]) -> Body:
    """Decode the body of a record; :meth:`Body.build` returns its document or operations.

    Raises:
        Damaged: the body does not match the kind of the record.
        MissingTimeZone: the body names a time zone that this host has no data for.
    """
    body = decode(raw) if raw else {}
    if type(body) is not dict or not _HOLDS[kind] <= body.keys() <= _MAY_HOLD[kind]:
        raise Damaged("the body does not match the kind of the record")
    if kind is _TOMBSTONE:
        return Body()
    content = body[DOCUMENT if kind is _BASE else OPERATIONS]
    if kind is _BASE and type(content) is not bytes:
        raise Damaged("the document of a base is not bytes")
    nodes = tuple([_node(stored, pages) for stored in body[NODES]]) if NODES in body else ()
    result = {RESULT: body[RESULT]} if RESULT in body else {}
    # Not by Body(), which is slower: patches are read by the dozen.
    return tuple.__new__(Body, (content, nodes, body.get(FIELDS, {}), result))


def _node(stored: Any, pages: Sequence[PageRef]) -> ItemList | Spilled:
    try:
        kind, *parts = stored
        if kind != _LIST:
            return Spilled([pages[place] for place in parts], is_map=kind == _MAP)
        runs: list[Run] = []
        make = partial(tuple.__new__, PageRun)  # as for the pages of a header
        for run in parts:
            if type(run[0]) is bytes:
                runs.append(run)
            else:
                place, start, size = run
                runs.append(make((pages[place], start, size)))
        return ItemList(runs)
    except (LookupError, TypeError, ValueError) as exc:
        raise Damaged(f"a node of the document is malformed ({exc!r})") from exc


def build(base: Body, patches: Sequence[Body], pages: Pages) -> Any:
    """The document of a base with patches applied to it; LookupError if a page is missing.

    Raises:
        Damaged: the base and the patches do not fit together.
        DecodeError: a part of them is not a document.
    """
    try:
        document = base.build(pages)
    except (AttributeError, TypeError) as exc:  # such as from the parts of a big map
        raise Damaged(f"the pages of a big value do not fit together ({exc!r})") from exc
    for patch in patches:
        document = applied_to(document, patch.build(pages), apply)
    return document


def applied_to(document: Any, operations: Any, apply: Callable[[Any, Patch], Any]) -> Any:
    """Apply a patch to the document that it was made for, with one of ``diff``'s functions."""
    try:
        return apply(document, operations)
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        raise Damaged(f"the patch does not fit the revision before it ({exc!r})") from exc
