"""The serializer: a state to the record of a save, proved before it is sent.

A save is planned in one go, without I/O: dump the state, find what changed since its origin, seal a
patch or a base, read it back, build a state from it and compare that with the live one. Items of a
memory that were never loaded are not looked at: they are what they were.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

from checkpoint.bodies import base_body, patch_body, standalone
from checkpoint.codec import DecodeError, decode, encode
from checkpoint.diff import Patch, applied, diff
from checkpoint.errors import (
    CheckpointError,
    InvalidState,
    NotSerializable,
    StateTooLarge,
)
from checkpoint.fidelity import Difference, difference, unencodable
from checkpoint.ids import SessionKey
from checkpoint.items import ItemList, NewItems, PageRun, Pages, is_same, list_at, value_at
from checkpoint.pages import NONCE_SIZE, PageData
from checkpoint.paginate import paginate
from checkpoint.paths import format_path
from checkpoint.record import Header, Kind, PageRef, Record
from checkpoint.schema import Path, Schema
from checkpoint.segment import Loaded, Tip, seal
from checkpoint.window import LazyItems

S = TypeVar("S")


class Origin(NamedTuple):
    """Where a state came from: what its next save is compared with, and what it goes on.

    Attributes:
        document: what the state dumped to then; never changed, parts of it may be shared. None
            for a state that is new and to be saved whatever it holds.
        tip: the session's newest segment as it was then; None where there was no session.
        rebase: the next save must be a base: the document is not the one that is stored.
        pages: the pages of the document that are at hand, by id.
        spilled: the pages of its big values.
    """

    document: Any = None
    tip: Tip | None = None
    rebase: bool = True
    pages: dict[bytes, PageData] = {}
    spilled: tuple[PageRef, ...] = ()

    @property
    def saved(self) -> Header | None:
        """The header of the revision the state is at; None for one that was never saved."""
        return self.tip.header if self.tip and self.tip.header.kind is not Kind.TOMBSTONE else None


class Content(NamedTuple):
    """What a save is to store, before it is sealed: enough to seal it again on another tip.

    Attributes:
        header: of the record, as a base.
        document: the whole document.
        operations: what changed since the revision before; None where only a base will do.
        fields: the model's.
        result: ``{}``, or ``{RESULT: value}``.
        pages, spilled: see :class:`Origin`.
    """

    header: Header
    document: Any
    operations: Patch | None
    fields: dict[str, str]
    result: dict[int, Any]
    pages: dict[bytes, PageData]
    spilled: tuple[PageRef, ...]


class Draft(NamedTuple):
    """A sealed save that was not sent yet.

    Attributes:
        record: what is to be stored.
        guard: the ``write_id`` that the session's head must have; None: there must be no head.
        origin: the state's, once it is stored.
        content: what it was sealed from; None for a tombstone.
        pages: stored forms of the new pages that it names, by id.
        left: the lazy memories of the state, each with what was saved of it and where.
    """

    record: Record
    guard: bytes | None
    origin: Origin
    content: Content | None = None
    pages: dict[bytes, bytes] = {}
    left: tuple[tuple[LazyItems, NewItems, Path], ...] = ()

    @property
    def tip(self) -> Tip:
        """The segment as it is once this is stored."""
        assert self.origin.tip is not None
        return self.origin.tip

    def as_loaded(self) -> Loaded | None:
        """What a reader of it would have; None for a tombstone."""
        if self.content is None:
            return None
        fields, result = self.content.fields, self.content.result
        pages = self.content.pages | {
            ref.id: self.origin.pages[ref.id] for ref in self.origin.spilled
        }
        document, spilled = self.origin.document, self.origin.spilled
        return Loaded(document, fields, self.tip, result, pages, spilled)

    def stored(self) -> None:
        """Tell the state's lazy memories in which list their items are now."""
        for lazy, new, path in self.left:
            saved = list_at(self.origin.document, path)
            assert saved is not None
            lazy.saved(new, saved, self.origin.pages)


def plan(
    key: SessionKey,
    schema: Schema[S],
    state: S,
    header: Header,
    *,
    origin: Origin,
    tip: Tip | None,
    result: dict[int, Any] | None = None,
    max_bytes: int,
    without: Collection[bytes] = (),
) -> Draft | None:
    """Plan the save of a state.

    Args:
        header: of the record to write, as a base; it becomes a patch where that is the better buy.
        origin: what the state came from.
        tip: the segment to go on: the origin's own, or for a branch, that of the head.
        result: ``{RESULT: value}`` to keep what the turn returned.
        max_bytes: limit for the encoded document.
        without: see :func:`checkpoint.paginate.paginate`, which may raise ``AnchorNeeded``.

    Returns:
        The draft; None when the state is what its origin is and there is no result to keep.

    Raises:
        NotSerializable: a value would not come back as it is; its path is named.
        StateTooLarge: the encoded document exceeds ``max_bytes``.
    """
    result = _proven_result(key, result or {}, max_bytes)
    encoded, nodes, plain = _encoded(key, schema, state, origin, max_bytes)
    _prove(key, schema, state, encoded, nodes)
    try:
        operations = diff(origin.document, plain, origin.pages)
    except RecursionError as exc:
        raise _not_serializable(key, Difference([], "nested too deep")) from exc
    operations = standalone(operations)
    document = applied(origin.document, operations)
    _check_same(key, document, plain, origin.pages)
    if not operations and not result and (origin.saved or origin.document is not None):
        return None
    may_patch = tip is not None and tip is origin.tip and not origin.rebase
    content = Content(
        header,
        document,
        operations if may_patch else None,
        schema.fields,
        result,
        origin.pages,
        origin.spilled,
    )
    draft = seal_content(key, content, tip, max_bytes, without)
    left = tuple(
        (lazy, new, path)
        for path, lazy in schema.lazy(state)
        if isinstance(new := value_at(plain, path), NewItems) and new.origin is lazy.origin
    )
    return draft._replace(left=left)


def seal_content(
    key: SessionKey,
    content: Content,
    tip: Tip | None,
    max_bytes: int,
    without: Collection[bytes] = (),
) -> Draft:
    """Seal a save on a tip, as a patch where it can be one and is worth it, or as a base."""
    header = content.header
    if tip is not None and content.operations is not None:
        body, named = patch_body(content.operations, content.result)
        if not named:
            patch, after = seal(key, header._replace(kind=Kind.PATCH), body, tip, max_bytes)
            if after.is_worth_keeping(tip):
                origin = Origin(content.document, after, False, content.pages, content.spilled)
                return Draft(patch, tip.header.write_id, origin, content)
    # Not the write's id alone: sealed again in another epoch, its pages are others.
    nonce = (int.from_bytes(header.write_id[:8], "big") + (tip.epoch if tip else 0)) % 2**64
    layout = paginate(
        key,
        content.document,
        nonce.to_bytes(NONCE_SIZE, "big"),
        header.schema.version,
        content.pages,
        content.spilled,
        without,
    )
    body, named = base_body(layout.stored, content.fields, content.result)
    record, after = seal(key, header._replace(pages=named), body, tip, max_bytes)
    pages = content.pages | layout.pages
    origin = Origin(layout.document, after, False, pages, layout.spilled)
    return Draft(record, tip.header.write_id if tip else None, origin, content, layout.written)


def unsaved(
    key: SessionKey,
    schema: Schema[S],
    state: S,
    tip: Tip | None,
    max_bytes: int,
    before: Origin | None = None,
) -> Origin:
    """The origin of a state that is compared with itself as it is now, and then saved whole.

    Of a session's first state, so that a turn that leaves it alone writes nothing; and of one whose
    model has got new fields since it was saved, for the same reason.

    Args:
        before: the stored document that the state was built from, if it was.
    """
    before = before or Origin()
    encoded, nodes, plain = _encoded(key, schema, state, before, max_bytes)
    document = decode(encoded, [node.resolved() for node in nodes])
    for path, lazy in schema.lazy(state):
        saved = list_at(document, path)
        assert saved is not None
        lazy.saved(value_at(plain, path), saved, before.pages)
    return Origin(document, tip, True, before.pages, before.spilled)


def seal_base(
    key: SessionKey,
    header: Header,
    loaded: Loaded,
    tip: Tip | None,
    max_bytes: int,
    without: Collection[bytes] = (),
) -> Draft:
    """Seal the document of another revision as it is, for a fork or a rollback."""
    content = Content(
        header, loaded.document, None, loaded.fields, {}, loaded.pages, loaded.spilled
    )
    return seal_content(key, content, tip, max_bytes, without)


def owned_by(owner: SessionKey, loaded: Loaded) -> Loaded:
    """A revision as another session names it: with the pages of ``owner`` told as such."""

    def told(ref: PageRef) -> PageRef:
        anchor = told(ref.anchor) if ref.anchor else None
        return ref._replace(owner=ref.owner or owner, anchor=anchor)

    lists: list[Any] = []
    encoded = encode(loaded.document, lists)
    moved = [
        ItemList(
            run._replace(page=told(run.page)) if isinstance(run, PageRun) else run
            for run in items.runs
        )
        for items in lists
    ]
    spilled = tuple(map(told, loaded.spilled))
    return loaded._replace(document=decode(encoded, moved), spilled=spilled)


def seal_tombstone(key: SessionKey, header: Header, tip: Tip) -> Draft:
    """Seal the end of a session: no document, only the ring of recent writes."""
    record, after = seal(key, header._replace(kind=Kind.TOMBSTONE), {}, tip, max_bytes=0)
    return Draft(record, tip.header.write_id, Origin(None, after))


def _check_same(key: SessionKey, document: Any, plain: Any, pages: Pages) -> None:
    """Raise unless a document has become what the live state is: no wrong patch is ever stored."""
    lists: list[Any] = []
    news: list[Any] = []
    same = encode(document, lists) == encode(plain, news)
    if lists and not (same and all(map(is_same, lists, news, repeat(pages)))):
        same = _same(document, plain, pages)  # lists of the state that are kept as long ones
    if not same:
        raise AssertionError(f"the patch does not make the document of {key}; please report this")


def _same(made: Any, wanted: Any, pages: Pages) -> bool:
    if isinstance(made, ItemList):
        if not isinstance(wanted, NewItems):
            wanted = NewItems([list(map(encode, wanted))])
        return is_same(made, wanted, pages)
    if type(made) is dict and type(wanted) is dict:
        return encode(list(made)) == encode(list(wanted)) and all(
            _same(value, wanted[name], pages) for name, value in made.items()
        )
    if type(made) is list and type(wanted) is list:
        return len(made) == len(wanted) and all(map(_same, made, wanted, repeat(pages)))
    return encode(made, []) == encode(wanted, [])


def _encoded(
    key: SessionKey, schema: Schema[S], state: S, origin: Origin, max_bytes: int
) -> tuple[bytes, list[NewItems], Any]:
    """The document of a state, encoded, with its memories apart; and decoded again."""
    nodes: list[Any] = []
    try:
        encoded = encode(schema.dump(state, key, origin.document), nodes)
        plain = decode(encoded, nodes)
    except CheckpointError:
        raise
    except Exception as exc:
        # The state's own serializers run in here, and may raise anything.
        found = unencodable(state) or Difference([], f"it cannot be dumped ({exc})")
        raise _not_serializable(key, found) from exc
    _check_size(key, "state", len(encoded) + sum(node.size() for node in nodes), max_bytes)
    return encoded, nodes, plain


def _check_size(key: SessionKey, what: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise StateTooLarge(
            f"the {what} has {size} bytes encoded, over the limit of {max_bytes}; nothing "
            f"was written. Trim it, or open the store with a larger max_bytes",
            namespace=key.namespace,
            session_id=key.session_id,
        )


def _prove(
    key: SessionKey, schema: Schema[S], state: S, encoded: bytes, nodes: list[NewItems]
) -> None:
    """Raise unless a cold replica would build from this document what the state is now."""
    try:
        # A copy of its own: the model's validators may change what they are given.
        rebuilt = schema.build(decode(encoded, [node.live() for node in nodes]))
        found = difference(state, rebuilt)
    except InvalidState as exc:
        reason = f"the model itself would refuse it on restore: {exc.args[0]}"
        raise NotSerializable(
            reason, namespace=key.namespace, session_id=key.session_id, path=exc.path
        ) from exc
    except RecursionError as exc:
        raise _not_serializable(key, Difference([], "nested too deep")) from exc
    except DecodeError as exc:  # of an item of a memory
        found = unencodable(state) or Difference([], f"it cannot be decoded ({exc})")
        raise _not_serializable(key, found) from exc
    if found:
        raise _not_serializable(key, found)


def _proven_result(key: SessionKey, result: dict[int, Any], max_bytes: int) -> dict[int, Any]:
    """A result as it will come back: a copy, as its caller may go on to change it."""
    proven = {}
    for number, value in result.items():
        try:
            encoded = encode(value)
            proven[number] = decode(encoded)
            found = difference(value, proven[number], "result")
        except Exception as exc:  # as above: of any type
            found = unencodable(value, "result")
            found = found or Difference(["result"], f"it cannot be encoded ({exc})")
            raise _not_serializable(key, found) from exc
        if found:
            raise _not_serializable(key, found)
        _check_size(key, "result", len(encoded), max_bytes)
    return proven


def _not_serializable(key: SessionKey, found: Difference) -> NotSerializable:
    return NotSerializable(
        f"{found.reason}; nothing was written",
        namespace=key.namespace,
        session_id=key.session_id,
        path=format_path(found.path),
    )
