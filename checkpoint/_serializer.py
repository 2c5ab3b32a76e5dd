"""Serializer: turns a state into the record of a save, and proves it before it is sent.

A save is planned in one go, without I/O: dump and encode the state, build a state from the bytes
and compare it with the live one, find the changes since its baseline, and encode a patch or a base.
Items of a memory that were never loaded are unchanged, so they are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

from checkpoint._document.codec import DecodeError, decode, encode
from checkpoint._document.diff import Patch, applied, diff_encoded
from checkpoint._document.encoded import has_nodes, node_number, split_array, split_map
from checkpoint._document.items import (
    ItemList,
    NewItems,
    PageRun,
    Pages,
    is_same,
    list_at,
    value_at,
)
from checkpoint._document.pages import PageRef
from checkpoint._document.paths import format_path
from checkpoint._ids import SessionKey
from checkpoint._limits import Limits
from checkpoint._records.baseline import Baseline, Tip
from checkpoint._records.body import base_body, patch_body, standalone
from checkpoint._records.header import Kind, RecordHeader
from checkpoint._records.page import NONCE_SIZE
from checkpoint._records.pagination import Paginator
from checkpoint._records.segment import encode_record
from checkpoint._state.fidelity import Difference, difference, unencodable
from checkpoint._state.known import KnownItems
from checkpoint._state.lazy import Undecodable
from checkpoint._state.page_loader import PageLoader
from checkpoint._state.schema import Path, Schema
from checkpoint.errors import CheckpointError, InvalidState, NotSerializable
from checkpoint.store import Record

S = TypeVar("S")


class Draft(NamedTuple):
    """A planned save: encoded, but not sent yet.

    Attributes:
        record: the record to store.
        guard: the ``write_id`` that the session's head must have; None: there must be no head.
        after: the baseline once the record is stored.
        pages: stored forms of the new pages that it names, by id.
        header, target, operations: arguments of :func:`draft_save`, to encode it again on another
            tip. None for a tombstone.
        memories: the items saved of the state's memories, with their paths.
    """

    record: Record
    guard: bytes | None
    after: Baseline
    pages: dict[bytes, bytes] = {}
    header: RecordHeader | None = None
    target: Baseline | None = None
    operations: Patch | None = None
    memories: Sequence[tuple[Path, NewItems]] = ()

    @property
    def tip(self) -> Tip:
        """The tip once the record is stored."""
        return self.after.end

    def for_others(self) -> Baseline:
        """The baseline from which another turn may start, with pages that it would have to fetch.

        New pages of lists are included only if all other pages of the lists are.
        """
        known, target = self.after, self.target
        if self.pages and target is not None:
            named = {ref.id for items in known.lists for ref in items.refs(0, len(items))}
            if not known.pages.keys() >= named:
                spilled = {ref.id: known.pages[ref.id] for ref in known.spilled}
                return known._replace(pages=target.pages | spilled)
        return known

    def mark_stored(self, loader: PageLoader, known_items: Callable[[Path], KnownItems]) -> None:
        """Point the state's memories to the saved lists, and note the items proved valid.

        Args:
            loader: loads the pages of the saved revision.
            known_items: returns the known items of a memory.
        """
        for path, new in self.memories:
            saved = list_at(self.after.document, path)
            if saved is None:
                continue
            if new.proof is None:
                new.items.saved(new, saved, loader.of(path))
                continue
            known = known_items(path)
            new.items.saved(new, saved, loader.of(path, known))
            encoded = [each for piece in new.encoded() for each in piece]
            built = [item for piece in new.proof.lists() for item in piece]
            if len(encoded) == len(built):  # else a validator replaced the memory
                saved.is_valid = not known.keeps_nothing and (
                    not new.has_ranges or (new.origin is not None and new.origin.is_valid)
                )
                known.validated(encoded)
                known.share_if_immutable(encoded, built)


def serialize(
    key: SessionKey,
    schema: Schema[S],
    state: S,
    header: RecordHeader,
    *,
    known: Baseline,
    tip: Tip | None,
    result: dict[int, Any] | None = None,
    limits: Limits,
    without: Collection[bytes] = (),
) -> Draft | None:
    """Plan the save of a state.

    Args:
        header: of the record to write, as a base; it becomes a patch if that costs less.
        known: the revision that the state came from.
        tip: the tip to continue: that of the revision, or for a branch, that of the head.
        result: ``{RESULT: value}`` to keep what the turn returned.
        without: see :class:`checkpoint._records.pagination.Paginator`, which may raise
            ``AnchorNeeded``.

    Returns:
        The draft; None if the state is unchanged and there is no result to keep.

    Raises:
        NotSerializable: a value would not come back unchanged; the error names its path.
        StateTooLarge: the encoded document exceeds the limit.
    """
    result = _proven_result(key, result or {}, limits)
    dumped, encoded, nodes = _encoded(key, schema, state, known)
    limits.check_value(key, "state", _size(encoded, nodes, known, limits))
    memories = _prove(key, schema, state, dumped, encoded, nodes)
    try:
        operations = standalone(
            diff_encoded(known.document, known.encoded, encoded, nodes, known.pages)
        )
        document = applied(known.document, operations)
        target = known.with_document(document, fields=schema.fields, result=result)
        _check_same(key, target, encoded, nodes)
    except RecursionError as exc:
        raise _not_serializable(key, Difference([], "nested too deep")) from exc
    if not operations and not result and (known.saved or known.document is not None):
        return None
    may_patch = tip is known.tip and known.saved and known.saved.schema == schema.id
    changes = operations if may_patch else None
    return draft_save(key, header, target, changes, memories, tip, limits, without)


def draft_save(
    key: SessionKey,
    header: RecordHeader,
    target: Baseline,
    operations: Patch | None,
    memories: Sequence[tuple[Path, NewItems]],
    tip: Tip | None,
    limits: Limits,
    without: Collection[bytes] = (),
) -> Draft:
    """Encode a save on a tip: as a patch if that is possible and costs less, else as a base.

    Args:
        target: the revision to store, whatever its tip, with the loaded pages.
        operations: changes since the revision at the tip; None if only a base will do.
        memories: the items saved of the state's memories, with their paths.
    """
    inputs = header, target, operations, memories
    if tip is not None and operations is not None:
        body, named = patch_body(operations, target.result)
        if not named:
            patch, end = encode_record(key, header._replace(kind=Kind.PATCH), body, tip, limits)
            if end.is_worth_keeping(tip):
                return Draft(patch, tip.header.write_id, target._replace(tip=end), {}, *inputs)
    # Not the write id alone: encoded again in another epoch, the save has other pages.
    nonce = (int.from_bytes(header.write_id[:8], "big") + (tip.epoch if tip else 0)) % 2**64
    pages = Paginator(
        key,
        nonce.to_bytes(NONCE_SIZE, "big"),
        header.schema.version,
        target.pages,
        target.spilled,
        without,
    )
    document, stored = pages.lay(target.document)
    body, named = base_body(stored, target.fields, target.result)
    record, end = encode_record(key, header._replace(pages=named), body, tip, limits)
    after = target.with_document(
        document, tip=end, pages=target.pages | pages.made, spilled=tuple(pages.spilled)
    )
    guard = tip.header.write_id if tip else None
    return Draft(record, guard, after, pages.written, *inputs)


def unsaved(
    key: SessionKey, schema: Schema[S], state: S, tip: Tip | None, known: Baseline | None = None
) -> Baseline:
    """A baseline made of the present state itself; the first change then saves it whole.

    For the first state of a session, and for one whose model gained fields since it was saved, so
    that a turn without changes writes nothing.

    Args:
        known: the stored revision that the state was built from, if it was.
    """
    known = known or Baseline(tip)
    dumped, encoded, nodes = _encoded(key, schema, state, known)
    document = decode(encoded, [node.resolved() for node in nodes])
    for path, node in _taken(schema, state, dumped):
        saved = list_at(document, path)
        if node.loader is not None and saved is not None:
            node.items.saved(node, saved, node.loader)
    return known.with_document(document)


def owned_by(owner: SessionKey, known: Baseline) -> Baseline:
    """The baseline for another session, whose page references name ``owner``."""

    def located(ref: PageRef) -> PageRef:
        anchor = located(ref.anchor) if ref.anchor else None
        return ref._replace(owner=ref.owner or owner, anchor=anchor)

    lists = [
        ItemList(
            run._replace(page=located(run.page)) if isinstance(run, PageRun) else run
            for run in items.runs
        )
        for items in known.lists
    ]
    document = decode(known.encoded, lists)
    spilled = tuple(map(located, known.spilled))
    return known._replace(document=document, lists=tuple(lists), spilled=spilled)


def draft_tombstone(key: SessionKey, header: RecordHeader, tip: Tip) -> Draft:
    """Encode a tombstone: no document, only the ring of recent writes."""
    record, end = encode_record(key, header._replace(kind=Kind.TOMBSTONE), {}, tip, Limits())
    return Draft(record, tip.header.write_id, Baseline(end))


def _check_same(key: SessionKey, made: Baseline, encoded: bytes, nodes: Sequence[NewItems]) -> None:
    """Raise unless the patched document equals the live state: no wrong patch is ever stored."""
    if made.encoded == encoded and all(map(is_same, made.lists, nodes, repeat(made.pages))):
        return
    if not _is_same(made.document, encoded, nodes, made.pages):
        raise AssertionError(f"the patch does not produce the state of {key}; please report this")


def _is_same(made: Any, encoded: bytes, nodes: Sequence[NewItems], pages: Pages) -> bool:
    """Whether a document with long lists equals an encoded state."""
    if isinstance(made, ItemList):
        number = node_number(encoded)
        new = NewItems([split_array(encoded)]) if number is None else nodes[number]
        return is_same(made, new, pages)
    if type(made) is dict:
        entries = split_map(encoded)
        return [encode(name) for name in made] == [name for name, _ in entries] and all(
            _is_same(value, each, nodes, pages)
            for value, (_, each) in zip(made.values(), entries, strict=True)
        )
    if type(made) is list and has_nodes(encode(made, [])):
        items = split_array(encoded)
        return len(made) == len(items) and all(
            _is_same(value, each, nodes, pages) for value, each in zip(made, items, strict=True)
        )
    return encode(made) == encoded


def _encoded(
    key: SessionKey, schema: Schema[S], state: S, known: Baseline
) -> tuple[Any, bytes, list[NewItems]]:
    """The dump of a state, its encoding, and the items of its memories."""
    nodes: list[Any] = []
    try:
        dumped = schema.dump(state, key, known.document)
        return dumped, encode(dumped, nodes), nodes
    except CheckpointError:
        raise
    except Exception as exc:
        # The state's own serializers run here, and may raise anything.
        found = unencodable(state) or Difference([], f"it cannot be dumped ({exc})")
        raise _not_serializable(key, found) from exc


def _size(encoded: bytes, nodes: Sequence[NewItems], known: Baseline, limits: Limits) -> int:
    """Encoded bytes of a state, or of its loaded part."""
    new = len(encoded) + sum([node.size() for node in nodes])
    tip = known.tip
    at_most = new + (tip.base_raw + tip.patch_raw if tip else 0)
    at_most += sum([len(page.raw) for page in known.pages.values()])
    if at_most <= limits.max_bytes:  # nearly always: no need to look closer
        return at_most
    return new + sum(node.items.size_left() for node in nodes if node.items)  # type: ignore[no-any-return]


def _prove(
    key: SessionKey,
    schema: Schema[S],
    state: S,
    dumped: Any,
    encoded: bytes,
    nodes: Sequence[NewItems],
) -> list[tuple[Path, NewItems]]:
    """Raise unless a cold replica would build an equal state from this document.

    Returns:
        The items saved of the state's memories, with their paths.
    """
    if schema.is_exact(dumped):
        return []
    taken = _taken(schema, state, dumped)
    try:
        # As in hydrate: a validator that sees the items gets a list, unless some are not loaded.
        whole = [node for path, node in taken if path in schema.eager and not node.has_ranges]
        parts = [list(node) if node in whole else node for node in nodes]
        rebuilt = schema.build(decode(encoded, parts))
        found = difference(state, rebuilt)
    except InvalidState as exc:
        reason = f"the model would refuse it on restore: {exc.args[0]}; nothing was written"
        raise NotSerializable(reason).at(key, path=exc.path) from exc
    except RecursionError as exc:
        raise _not_serializable(key, Difference([], "nested too deep")) from exc
    except (DecodeError, Undecodable) as exc:
        found = unencodable(state) or Difference([], f"it cannot be decoded ({exc})")
        raise _not_serializable(key, found) from exc
    if found:
        raise _not_serializable(key, found)
    proofs = dict(schema.items_of(rebuilt))
    for path, node in taken:
        node.proof = None if path in schema.eager else proofs.get(path)
    return taken


def _taken(schema: Schema[S], state: S, dumped: Any) -> list[tuple[Path, NewItems]]:
    """The items saved of a state's memories, with their paths.

    A memory that a serializer of the model puts elsewhere is left out.
    """
    found = [(path, items, value_at(dumped, path)) for path, items in schema.items_of(state)]
    return [
        (path, node)
        for path, items, node in found
        if isinstance(node, NewItems) and node.items is items
    ]


def _proven_result(key: SessionKey, result: dict[int, Any], limits: Limits) -> dict[int, Any]:
    """A copy of a result, decoded from its encoding: the caller may change the original."""
    proven = {}
    for number, value in result.items():
        try:
            encoded = encode(value)
            proven[number] = decode(encoded)
            found = difference(value, proven[number], "result")
        except Exception as exc:  # of any type, as above
            found = unencodable(value, "result")
            found = found or Difference(["result"], f"it cannot be encoded ({exc})")
            raise _not_serializable(key, found) from exc
        if found:
            raise _not_serializable(key, found)
        limits.check_value(key, "result", len(encoded))
    return proven


def _not_serializable(key: SessionKey, found: Difference) -> NotSerializable:
    return NotSerializable(f"{found.reason}; nothing was written").at(
        key, path=format_path(found.path)
    )
