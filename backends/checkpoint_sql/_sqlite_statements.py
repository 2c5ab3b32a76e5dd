"""The statements of a SQLite store, as text."""

# Generated from tables.py and queries.py by tools/compile_sql.py: change those.

LAYOUT = 1

TABLES = {
    "checkpoint_attachments",
    "checkpoint_layout",
    "checkpoint_pages",
    "checkpoint_records",
    "checkpoint_sessions",
}

CREATE_TABLES = [
    """CREATE TABLE checkpoint_attachments (
    session INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    name TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (session, revision, name)
)""",
    """CREATE TABLE checkpoint_layout (
    version INTEGER NOT NULL,
    PRIMARY KEY (version)
)""",
    """CREATE TABLE checkpoint_pages (
    session INTEGER NOT NULL,
    page BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (session, page)
)""",
    """CREATE TABLE checkpoint_records (
    session INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    base INTEGER NOT NULL,
    head BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (session, revision)
)""",
    """CREATE TABLE checkpoint_sessions (
    id INTEGER NOT NULL,
    namespace TEXT NOT NULL,
    session_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    write_id BLOB NOT NULL,
    base INTEGER NOT NULL,
    saved_at BIGINT NOT NULL,
    deleted BOOLEAN NOT NULL,
    epoch INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (namespace, session_id)
)""",
]

READ_LAYOUT = """SELECT checkpoint_layout.version
FROM checkpoint_layout"""
WRITE_LAYOUT = """INSERT INTO checkpoint_layout (version) VALUES (:version)"""
READ_NEWEST = """SELECT checkpoint_sessions.revision, checkpoint_sessions.write_id, checkpoint_sessions.base, checkpoint_sessions.saved_at, checkpoint_sessions.deleted, checkpoint_records.revision AS revision_1, checkpoint_records.head, checkpoint_records.body
FROM checkpoint_sessions LEFT OUTER JOIN checkpoint_records ON checkpoint_records.session = checkpoint_sessions.id AND checkpoint_records.revision >= checkpoint_sessions.base
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id ORDER BY checkpoint_records.revision"""
READ_REVISION = """SELECT checkpoint_sessions.revision, checkpoint_sessions.write_id, checkpoint_sessions.base, checkpoint_sessions.saved_at, checkpoint_sessions.deleted, checkpoint_records.revision AS revision_1, checkpoint_records.head, checkpoint_records.body
FROM checkpoint_sessions LEFT OUTER JOIN checkpoint_records ON checkpoint_records.session = checkpoint_sessions.id AND checkpoint_records.revision <= :revision AND checkpoint_records.revision >= (SELECT asked.base
FROM checkpoint_records AS asked
WHERE asked.session = checkpoint_sessions.id AND asked.revision = :revision)
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id ORDER BY checkpoint_records.revision"""
CREATE_HEAD = """INSERT INTO checkpoint_sessions (namespace, session_id, revision, write_id, base, saved_at, deleted) VALUES (:namespace, :session_id, :revision, :write_id, :base, :saved_at, :deleted)"""
MOVE_HEAD = """UPDATE checkpoint_sessions SET revision=:revision, write_id=:write_id, base=:base, saved_at=:saved_at, deleted=:deleted WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id AND checkpoint_sessions.write_id = :parent"""
ADD_RECORD = """INSERT INTO checkpoint_records (session, revision, base, head, body) SELECT checkpoint_sessions.id, checkpoint_sessions.revision, checkpoint_sessions.base, :head AS anon_1, :body AS anon_2
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id"""
CLEAR_RECORDS = """DELETE FROM checkpoint_records WHERE checkpoint_records.session = (SELECT checkpoint_sessions.id
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id) AND checkpoint_records.revision < :revision"""
CLEAR_PAGES = """DELETE FROM checkpoint_pages WHERE checkpoint_pages.session = (SELECT checkpoint_sessions.id
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id)"""
CLEAR_ATTACHMENTS = """DELETE FROM checkpoint_attachments WHERE checkpoint_attachments.session = (SELECT checkpoint_sessions.id
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id)"""
LIST_HEADS = """SELECT checkpoint_records.revision, checkpoint_records.head, length(checkpoint_records.head) + length(checkpoint_records.body) AS anon_1
FROM checkpoint_records
WHERE checkpoint_records.session = (SELECT checkpoint_sessions.id
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id) AND (:before IS NULL OR checkpoint_records.revision < :before) ORDER BY checkpoint_records.revision DESC
 LIMIT :limit OFFSET 0"""
LIST_SESSIONS = """SELECT checkpoint_sessions.session_id, checkpoint_sessions.revision, checkpoint_sessions.write_id, checkpoint_sessions.base, checkpoint_sessions.saved_at, checkpoint_sessions.deleted
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id >= :prefix AND checkpoint_sessions.session_id > :after AND (:end IS NULL OR checkpoint_sessions.session_id < :end) AND checkpoint_sessions.deleted IS 0 ORDER BY checkpoint_sessions.session_id
 LIMIT :limit OFFSET 0"""
ADD_ATTACHMENT = """INSERT INTO checkpoint_attachments (session, revision, name, data) SELECT checkpoint_sessions.id, :revision AS anon_1, :name AS anon_2, :data AS anon_3
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id"""
REMOVE_ATTACHMENT = """DELETE FROM checkpoint_attachments WHERE checkpoint_attachments.session = (SELECT checkpoint_sessions.id
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id) AND checkpoint_attachments.revision = :revision AND checkpoint_attachments.name = :name"""
LIST_ATTACHMENTS = """SELECT checkpoint_attachments.revision, checkpoint_attachments.name, checkpoint_attachments.data
FROM checkpoint_attachments
WHERE checkpoint_attachments.session = (SELECT checkpoint_sessions.id
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id) ORDER BY checkpoint_attachments.revision, checkpoint_attachments.name"""
