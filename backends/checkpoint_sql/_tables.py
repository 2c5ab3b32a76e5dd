"""The tables of every SQL database. Needs SQLAlchemy, which a SQLite store does not import.

    layout       one row: the version of these tables
    sessions     the head of each session
    records      one row for each revision, with the header and the body of its record
    pages        immutable parts of documents; may be written before their session
    attachments  small side records, such as labels

Ids compare by bytes: SQLite's default, ``COLLATE "C"`` on PostgreSQL, VARBINARY on MySQL.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import LONGBLOB, VARBINARY
from sqlalchemy.dialects.postgresql import TEXT as PG_TEXT

LAYOUT = 1
"""The version of these tables; every change increases it."""

metadata = MetaData()

# At most 512 bytes of UTF-8 (and a word before them), compared byte by byte.
Id = (
    Text()
    .with_variant(PG_TEXT(collation="C"), "postgresql")
    .with_variant(VARBINARY(560), "mysql", "mariadb")
)
WriteId = LargeBinary().with_variant(VARBINARY(16), "mysql", "mariadb")
PageId = LargeBinary().with_variant(VARBINARY(64), "mysql", "mariadb")
Bytes = LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")
# SQLite numbers rows automatically only in a column declared INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")

layout = Table(
    "checkpoint_layout",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
)

sessions = Table(
    "checkpoint_sessions",
    metadata,
    Column("id", Number, primary_key=True),
    Column("namespace", Id, nullable=False),
    Column("session_id", Id, nullable=False),
    Column("revision", Number, nullable=False),
    Column("write_id", WriteId, nullable=False),
    Column("base", Number, nullable=False),
    Column("saved_at", BigInteger, nullable=False),
    Column("deleted", Boolean(create_constraint=False), nullable=False),
    Column("epoch", Number, nullable=False, server_default="0"),
    UniqueConstraint("namespace", "session_id"),
)

# No foreign keys: the head and its record are written together, and removed together.
records = Table(
    "checkpoint_records",
    metadata,
    Column("session", Number, primary_key=True, autoincrement=False),
    Column("revision", Number, primary_key=True, autoincrement=False),
    Column("base", Number, nullable=False),
    Column("head", Bytes, nullable=False),
    Column("body", Bytes, nullable=False),
)

pages = Table(
    "checkpoint_pages",
    metadata,
    Column("namespace", Id, primary_key=True),
    Column("session_id", Id, primary_key=True),
    Column("page", PageId, primary_key=True),
    Column("stored_at", BigInteger, nullable=False),
    Column("body", Bytes, nullable=False),
)

attachments = Table(
    "checkpoint_attachments",
    metadata,
    Column("session", Number, primary_key=True, autoincrement=False),
    Column("revision", Number, primary_key=True, autoincrement=False),
    Column("name", Id, primary_key=True),
    Column("data", Bytes, nullable=False),
)
