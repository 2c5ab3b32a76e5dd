"""The serializer: a state to the record of a save, proved before it is sent.

A save is planned in one go, without I/O: dump the state, find what changed since its origin, seal a
patch or a base, read it back, build a state from it and compare that with the live one.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from checkpoint.codec import decode, encode
from checkpoint.diff import applied, diff
from checkpoint.errors import CheckpointError, InvalidState, NotSerializable, StateTooLarge
from checkpoint.fidelity import Difference, difference, unencodable
from checkpoint.ids import SessionKey
from checkpoint.paths import format_path
from checkpoint.record import Header, Kind, Record
from checkpoint.schema import Schema
from checkpoint.segment import DOCUMENT, FIELDS, OPERATIONS, Tip, seal

S = TypeVar("S")


class Origin(NamedTuple):
    """Where a state came from: what its next save is compared with, and what it goes on.

    Attributes:
        document: what the state dumped to then; never changed, parts of it may be shared. None
            for a state that is new and to be saved whatever it holds.
        tip: the session's newest segment as it was then; None where there was no session.
        rebase: the next save must be a base: the document is not the one that is stored.
    """

    document: Any = None
    tip: Tip | None = None
    rebase: bool = True

    @property
    def saved(self) -> Header | None:
        """The header of the revision the state is at; None for one that was never saved."""
        return self.tip.header if self.tip and self.tip.header.kind is not Kind.TOMBSTONE else None


class Draft(NamedTuple):
    """A sealed save that was not sent yet.

    Attributes:
        record: what is to be stored.
        guard: the ``write_id`` that the session's head must have; None: there must be no head.
        origin: the state's, once it is stored.
    """

    record: Record
    guard: bytes | None
    origin: Origin

    @property
    def tip(self) -> Tip:
        """The segment as it is once this is stored."""
        assert self.origin.tip is not None
        return self.origin.tip


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
) -> Draft | None:
    """Plan the save of a state.

    Args:
        header: of the record to write, as a base; it becomes a patch where that is the better buy.
        origin: what the state came from.
        tip: the segment to go on: the origin's own, or for a branch, that of the head.
        result: ``{RESULT: value}`` to keep what the turn returned.
        max_bytes: limit for the encoded document.

    Returns:
        The draft; None when the state is what its origin is and there is no result to keep.

    Raises:
        NotSerializable: a value would not come back as it is; its path is named.
        StateTooLarge: the encoded document exceeds ``max_bytes``.
    """
    result = result or {}
    _prove_result(key, result, max_bytes)
    encoded, plain = _encoded(key, schema, state, max_bytes)
    # A copy of its own: the model's validators may change what they are given.
    _prove(key, schema, state, decode(encoded))
    try:
        operations = diff(origin.document, plain)
    except RecursionError as exc:
        raise _not_serializable(key, Difference([], "nested too deep")) from exc
    document = applied(origin.document, operations)
    if encode(document) != encoded:  # a patch that is wrong must never be stored
        raise AssertionError(f"the patch does not make the document of {key}; please report this")
    if not operations and not result and (origin.saved or origin.document is not None):
        return None
    if tip is not None and tip is origin.tip and not origin.rebase:
        body = {**result, OPERATIONS: operations}
        patch, after = seal(key, header._replace(kind=Kind.PATCH), body, tip, max_bytes)
        if after.is_worth_keeping(tip):
            return Draft(patch, tip.header.write_id, Origin(document, after, rebase=False))
    return seal_base(key, header, document, schema.fields, tip, max_bytes, result)


def unsaved(
    key: SessionKey, schema: Schema[S], state: S, tip: Tip | None, max_bytes: int
) -> Origin:
    """The origin of a state that is compared with itself as it is now, and then saved whole.

    Of a session's first state, so that a turn that leaves it alone writes nothing; and of one whose
    model has got new fields since it was saved, for the same reason.
    """
    return Origin(_encoded(key, schema, state, max_bytes)[1], tip)


def seal_base(
    key: SessionKey,
    header: Header,
    document: Any,
    fields: dict[str, str],
    tip: Tip | None,
    max_bytes: int,
    result: dict[int, Any] | None = None,
) -> Draft:
    """Seal a whole document that is known to be plain: a new segment, a fork, a rollback."""
    body = {FIELDS: fields, **(result or {}), DOCUMENT: document}
    record, after = seal(key, header, body, tip, max_bytes)
    return Draft(
        record, tip.header.write_id if tip else None, Origin(document, after, rebase=False)
    )


def seal_tombstone(key: SessionKey, header: Header, tip: Tip) -> Draft:
    """Seal the end of a session: no document, only the ring of recent writes."""
    record, after = seal(key, header._replace(kind=Kind.TOMBSTONE), {}, tip, max_bytes=0)
    return Draft(record, tip.header.write_id, Origin(None, after))


def _encoded(key: SessionKey, schema: Schema[S], state: S, max_bytes: int) -> tuple[bytes, Any]:
    """The document of a state, encoded and as plain data of its own."""
    try:
        encoded = encode(schema.dump(state))
        plain = decode(encoded)
    except CheckpointError:
        raise
    except Exception as exc:
        # The state's own serializers run in here, and may raise anything.
        found = unencodable(state) or Difference([], f"it cannot be dumped ({exc})")
        raise _not_serializable(key, found) from exc
    _check_size(key, "state", encoded, max_bytes)
    return encoded, plain


def _check_size(key: SessionKey, what: str, encoded: bytes, max_bytes: int) -> None:
    if len(encoded) > max_bytes:
        raise StateTooLarge(
            f"the {what} has {len(encoded)} bytes encoded, over the limit of {max_bytes}; nothing "
            f"was written. Trim it, or open the store with a larger max_bytes",
            namespace=key.namespace,
            session_id=key.session_id,
        )


def _prove(key: SessionKey, schema: Schema[S], state: S, document: Any) -> None:
    """Raise unless a cold replica would build from this document what the state is now."""
    try:
        rebuilt = schema.build(document)
        found = difference(state, rebuilt)
    except InvalidState as exc:
        reason = f"the model itself would refuse it on restore: {exc.args[0]}"
        raise NotSerializable(
            reason, namespace=key.namespace, session_id=key.session_id, path=exc.path
        ) from exc
    except RecursionError as exc:
        raise _not_serializable(key, Difference([], "nested too deep")) from exc
    if found:
        raise _not_serializable(key, found)


def _prove_result(key: SessionKey, result: dict[int, Any], max_bytes: int) -> None:
    for value in result.values():
        try:
            encoded = encode(value)
            found = difference(value, decode(encoded), "result")
        except Exception as exc:  # as above: of any type
            found = unencodable(value, "result")
            found = found or Difference(["result"], f"it cannot be encoded ({exc})")
            raise _not_serializable(key, found) from exc
        if found:
            raise _not_serializable(key, found)
        _check_size(key, "result", encoded, max_bytes)


def _not_serializable(key: SessionKey, found: Difference) -> NotSerializable:
    return NotSerializable(
        f"{found.reason}; nothing was written",
        namespace=key.namespace,
        session_id=key.session_id,
        path=format_path(found.path),
    )
