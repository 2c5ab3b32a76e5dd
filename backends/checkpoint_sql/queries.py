"""Every statement of a store, on the tables of :mod:`checkpoint_sql.tables`.

``tools/compile_sql.py`` compiles them to text for the drivers that run without SQLAlchemy.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, delete, func, insert, literal_column, or_, select, update
from sqlalchemy.sql.expression import ClauseElement, ColumnElement

from checkpoint_sql.tables import LAYOUT, attachments, layout, pages, records, sessions

_key = and_(
    sessions.c.namespace == bindparam("namespace"), sessions.c.session_id == bindparam("session_id")
)
_session = select(sessions.c.id).where(_key).scalar_subquery()
_head = [sessions.c[name] for name in ("revision", "write_id", "base", "saved_at", "deleted")]
_record = [records.c[name] for name in ("revision", "head", "body")]
_asked = records.alias("asked")

_head_values: dict[str, Any] = {
    "revision": bindparam("revision"),
    "write_id": bindparam("write_id"),
    "base": bindparam("base"),
    "saved_at": bindparam("saved_at"),
    "deleted": bindparam("deleted"),
}


def _segment(first_to_last: ColumnElement[bool]) -> ClauseElement:
    """The head, with each record of a segment; with none, where the segment is not there."""
    of_session = and_(records.c.session == sessions.c.id, first_to_last)
    joined = sessions.outerjoin(records, of_session)
    return select(*_head, *_record).select_from(joined).where(_key).order_by(records.c.revision)


STATEMENTS: dict[str, ClauseElement] = {
    "READ_LAYOUT": select(layout.c.version),
    "WRITE_LAYOUT": insert(layout).values(version=LAYOUT),
    # The two of a turn: the newest segment …
    "READ_NEWEST": _segment(records.c.revision >= sessions.c.base),
    "READ_REVISION": _segment(
        and_(
            records.c.revision <= bindparam("revision"),
            records.c.revision
            >= select(_asked.c.base)
            .where(_asked.c.session == sessions.c.id, _asked.c.revision == bindparam("revision"))
            .scalar_subquery(),
        )
    ),
    # … and the guarded move of the head, with its record.
    "CREATE_HEAD": insert(sessions).values(
        namespace=bindparam("namespace"), session_id=bindparam("session_id"), **_head_values
    ),
    "MOVE_HEAD": update(sessions)
    .where(_key, sessions.c.write_id == bindparam("parent"))
    .values(**_head_values),
    "ADD_RECORD": insert(records).from_select(
        ["session", "revision", "base", "head", "body"],
        select(
            sessions.c.id,
            sessions.c.revision,
            sessions.c.base,
            bindparam("head"),
            bindparam("body"),
        ).where(_key),
    ),
    "CLEAR_RECORDS": delete(records).where(
        records.c.session == _session, records.c.revision < bindparam("revision")
    ),
    "CLEAR_PAGES": delete(pages).where(pages.c.session == _session),
    "CLEAR_ATTACHMENTS": delete(attachments).where(attachments.c.session == _session),
    "LIST_HEADS": select(
        records.c.revision,
        records.c.head,
        func.length(records.c.head) + func.length(records.c.body),
    )
    .where(
        records.c.session == _session,
        or_(bindparam("before").is_(None), records.c.revision < bindparam("before")),
    )
    .order_by(records.c.revision.desc())
    .limit(bindparam("limit"))
    .offset(literal_column("0")),
    "LIST_SESSIONS": select(sessions.c.session_id, *_head)
    .where(
        sessions.c.namespace == bindparam("namespace"),
        sessions.c.session_id >= bindparam("prefix"),
        sessions.c.session_id > bindparam("after"),
        or_(bindparam("end").is_(None), sessions.c.session_id < bindparam("end")),
        sessions.c.deleted.is_(False),
    )
    .order_by(sessions.c.session_id)
    .limit(bindparam("limit"))
    .offset(literal_column("0")),
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
