"""The SQL statements of a store, in SQLAlchemy.

``tools/compile_sql.py`` compiles them to text for drivers that run without SQLAlchemy.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.sql.expression import ClauseElement, ColumnElement, GenerativeSelect

from checkpoint.store import PIN
from checkpoint_sql._rows import after_prefix
from checkpoint_sql._tables import LAYOUT, attachments, layout, pages, records, sessions

_key = and_(
    sessions.c.namespace == bindparam("namespace"), sessions.c.session_id == bindparam("session_id")
)
_session = select(sessions.c.id).where(_key).scalar_subquery()
_names = ("revision", "write_id", "base", "saved_at", "deleted", "epoch")
_head = [sessions.c[name] for name in _names]
_head_values: dict[str, Any] = {name: bindparam(name) for name in _names}
_record = [records.c[name] for name in ("revision", "head", "body")]
_asked = records.alias("asked")
_page_key = and_(
    pages.c.namespace == bindparam("namespace"), pages.c.session_id == bindparam("session_id")
)
_page = and_(_page_key, pages.c.page == bindparam("page"))


def _before(base: ColumnElement[int]) -> ColumnElement[int]:
    """The revision after which to read a segment: one bound, so that an index can be used."""
    return case((base > bindparam("since"), base - literal_column("1")), else_=bindparam("since"))


def _segment(after_to_last: ColumnElement[bool]) -> ClauseElement:
    """The head with each record of a segment; without a record if the segment does not exist."""
    joined = sessions.outerjoin(records, and_(records.c.session == sessions.c.id, after_to_last))
    return select(*_head, *_record).select_from(joined).where(_key).order_by(records.c.revision)


def _listed(session_id: ColumnElement[str], namespace: ColumnElement[str]) -> ColumnElement[bool]:
    """The ids in a page of a listing."""
    return and_(
        namespace == bindparam("namespace"),
        session_id >= bindparam("prefix"),
        session_id > bindparam("after"),
        or_(bindparam("end").is_(None), session_id < bindparam("end")),
    )


_sessions = select(sessions.c.session_id, *_head).where(
    _listed(sessions.c.session_id, sessions.c.namespace)
)
_unborn = (  # sessions with pages but without a head
    select(
        pages.c.session_id,
        literal_column("0").label("revision"),
        literal_column("x''").label("write_id"),
        literal_column("0").label("base"),
        literal_column("0").label("saved_at"),
        true().label("deleted"),
        literal_column("0").label("epoch"),
    )
    .distinct()
    .where(
        _listed(pages.c.session_id, pages.c.namespace),
        ~select(sessions.c.id)
        .where(
            sessions.c.namespace == pages.c.namespace, sessions.c.session_id == pages.c.session_id
        )
        .exists(),
    )
)
_all_sessions = union_all(_sessions, _unborn)


def _limited(listing: GenerativeSelect) -> ClauseElement:
    return listing.limit(bindparam("limit")).offset(literal_column("0"))


STATEMENTS: dict[str, ClauseElement] = {
    "READ_LAYOUT": select(layout.c.version),
    "WRITE_LAYOUT": insert(layout).values(version=LAYOUT),
    # A turn runs two: it reads the newest segment …
    "READ_NEWEST": _segment(records.c.revision > _before(sessions.c.base)),
    "READ_REVISION": _segment(
        and_(
            records.c.revision <= bindparam("revision"),
            records.c.revision
            > select(_before(_asked.c.base))
            .where(_asked.c.session == sessions.c.id, _asked.c.revision == bindparam("revision"))
            .scalar_subquery(),
        )
    ),
    # … and moves the head, guarded, with the new record.
    "CREATE_HEAD": insert(sessions).values(
        namespace=bindparam("namespace"), session_id=bindparam("session_id"), **_head_values
    ),
    "MOVE_HEAD": update(sessions)
    .where(
        _key,
        sessions.c.write_id == bindparam("parent"),
        sessions.c.epoch == bindparam("parent_epoch"),
    )
    .values(**_head_values),
    "ADD_RECORD": insert(records).from_select(
        ["session", "revision", "base", "head", "body"],
        select(
            sessions.c.id,
            bindparam("revision"),
            bindparam("base"),
            bindparam("head"),
            bindparam("body"),
        ).where(_key),
    ),
    # Deletion.
    "CLEAR_RECORDS": delete(records).where(
        records.c.session == _session, records.c.revision < bindparam("revision")
    ),
    "CLEAR_ATTACHMENTS": delete(attachments).where(
        attachments.c.session == _session,
        or_(
            attachments.c.name < literal_column(f"'{PIN}'"),
            attachments.c.name >= literal_column(f"'{after_prefix(PIN)}'"),
        ),
    ),
    # Pruning.
    "REMOVE_RECORDS": delete(records).where(
        records.c.session == _session,
        records.c.revision.between(bindparam("first"), bindparam("last")),
    ),
    "REMOVE_ATTACHMENTS": delete(attachments).where(
        attachments.c.session == _session,
        attachments.c.revision.between(bindparam("first"), bindparam("last")),
    ),
    "REMOVE_RECORD": delete(records).where(
        records.c.session == _session, records.c.revision == bindparam("revision")
    ),
    # Listings.
    "LIST_HEADS": _limited(
        select(
            records.c.revision,
            records.c.head,
            func.length(records.c.head) + func.length(records.c.body),
        )
        .where(
            records.c.session == _session,
            or_(bindparam("before").is_(None), records.c.revision < bindparam("before")),
            or_(bindparam("bases").is_(False), records.c.revision == records.c.base),
        )
        .order_by(records.c.revision.desc())
    ),
    "LIST_SESSIONS": _limited(
        _sessions.where(sessions.c.deleted == false()).order_by(sessions.c.session_id)
    ),
    "LIST_ALL_SESSIONS": _limited(
        _all_sessions.order_by(_all_sessions.selected_columns.session_id)
    ),
    # Pages. An existing page is not written again: it never changes.
    "ADD_PAGE": insert(pages).from_select(
        ["namespace", "session_id", "page", "stored_at", "body"],
        select(
            bindparam("namespace"),
            bindparam("session_id"),
            bindparam("page"),
            bindparam("stored_at"),
            bindparam("body"),
        ).where(~select(pages.c.page).where(_page).correlate(None).exists()),
    ),
    "READ_PAGE": select(pages.c.page, pages.c.body).where(_page),
    "LIST_PAGES": select(pages.c.page, pages.c.stored_at, func.length(pages.c.body))
    .where(_page_key)
    .order_by(pages.c.page),
    "REMOVE_PAGE": delete(pages).where(_page),
    # Attachments.
    "ADD_ATTACHMENT": insert(attachments).from_select(
        ["session", "revision", "name", "data"],
        select(sessions.c.id, bindparam("revision"), bindparam("name"), bindparam("data")).where(
            _key
        ),
    ),
    "REMOVE_ATTACHMENT": delete(attachments).where(
        attachments.c.session == _session,
        attachments.c.revision == bindparam("revision"),
        attachments.c.name == bindparam("name"),
    ),
    "LIST_ATTACHMENTS": select(attachments.c.revision, attachments.c.name, attachments.c.data)
    .where(attachments.c.session == _session)
    .order_by(attachments.c.revision, attachments.c.name),
}
