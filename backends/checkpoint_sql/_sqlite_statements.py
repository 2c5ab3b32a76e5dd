"""The statements of a SQLite store, as text."""

# Generated from _tables.py and _queries.py by tools/compile_sql.py: change those.

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
    namespace TEXT NOT NULL,
    session_id TEXT NOT NULL,
    page BLOB NOT NULL,
    stored_at BIGINT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (namespace, session_id, page)
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
READ_NEWEST = """SELECT checkpoint_sessions.revision, checkpoint_sessions.write_id, checkpoint_sessions.base, checkpoint_sessions.saved_at, checkpoint_sessions.deleted, checkpoint_sessions.epoch, checkpoint_records.revision AS revision_1, checkpoint_records.head, checkpoint_records.body
FROM checkpoint_sessions LEFT OUTER JOIN checkpoint_records ON checkpoint_records.session = checkpoint_sessions.id AND checkpoint_records.revision > CASE WHEN (checkpoint_sessions.base > :since) THEN checkpoint_sessions.base - 1 ELSE :since END
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id ORDER BY checkpoint_records.revision"""
READ_REVISION = """SELECT checkpoint_sessions.revision, checkpoint_sessions.write_id, checkpoint_sessions.base, checkpoint_sessions.saved_at, checkpoint_sessions.deleted, checkpoint_sessions.epoch, checkpoint_records.revision AS revision_1, checkpoint_records.head, checkpoint_records.body
FROM checkpoint_sessions LEFT OUTER JOIN checkpoint_records ON checkpoint_records.session = checkpoint_sessions.id AND checkpoint_records.revision <= :revision AND checkpoint_records.revision > (SELECT CASE WHEN (asked.base > :since) THEN asked.base - 1 ELSE :since END AS anon_1
FROM checkpoint_records AS asked
WHERE asked.session = checkpoint_sessions.id AND asked.revision = :revision)
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id ORDER BY checkpoint_records.revision"""
CREATE_HEAD = """INSERT INTO checkpoint_sessions (namespace, session_id, revision, write_id, base, saved_at, deleted, epoch) VALUES (:namespace, :session_id, :revision, :write_id, :base, :saved_at, :deleted, :epoch)"""
MOVE_HEAD = """UPDATE checkpoint_sessions SET revision=:revision, write_id=:write_id, base=:base, saved_at=:saved_at, deleted=:deleted, epoch=:epoch WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id AND checkpoint_sessions.write_id = :parent AND checkpoint_sessions.epoch = :parent_epoch"""
ADD_RECORD = """INSERT INTO checkpoint_records (session, revision, base, head, body) SELECT checkpoint_sessions.id, :revision AS anon_1, :base AS anon_2, :head AS anon_3, :body AS anon_4
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id"""
CLEAR_RECORDS = """DELETE FROM checkpoint_records WHERE checkpoint_records.session = (SELECT checkpoint_sessions.id
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id) AND checkpoint_records.revision < :revision"""
CLEAR_ATTACHMENTS = """DELETE FROM checkpoint_attachments WHERE checkpoint_attachments.session = (SELECT checkpoint_sessions.id
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id) AND (checkpoint_attachments.name < 'pin/' OR checkpoint_attachments.name >= 'pin0')"""
REMOVE_RECORDS = """DELETE FROM checkpoint_records WHERE checkpoint_records.session = (SELECT checkpoint_sessions.id
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id) AND checkpoint_records.revision BETWEEN :first AND :last"""
REMOVE_ATTACHMENTS = """DELETE FROM checkpoint_attachments WHERE checkpoint_attachments.session = (SELECT checkpoint_sessions.id
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id) AND checkpoint_attachments.revision BETWEEN :first AND :last"""
REMOVE_RECORD = """DELETE FROM checkpoint_records WHERE checkpoint_records.session = (SELECT checkpoint_sessions.id
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id) AND checkpoint_records.revision = :revision"""
LIST_HEADS = """SELECT checkpoint_records.revision, checkpoint_records.head, length(checkpoint_records.head) + length(checkpoint_records.body) AS anon_1
FROM checkpoint_records
WHERE checkpoint_records.session = (SELECT checkpoint_sessions.id
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id = :session_id) AND (:before IS NULL OR checkpoint_records.revision < :before) AND (:bases IS 0 OR checkpoint_records.revision = checkpoint_records.base) ORDER BY checkpoint_records.revision DESC
 LIMIT :limit OFFSET 0"""
LIST_SESSIONS = """SELECT checkpoint_sessions.session_id, checkpoint_sessions.revision, checkpoint_sessions.write_id, checkpoint_sessions.base, checkpoint_sessions.saved_at, checkpoint_sessions.deleted, checkpoint_sessions.epoch
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id >= :prefix AND checkpoint_sessions.session_id > :after AND (:end IS NULL OR checkpoint_sessions.session_id < :end) AND checkpoint_sessions.deleted = 0 ORDER BY checkpoint_sessions.session_id
 LIMIT :limit OFFSET 0"""
LIST_ALL_SESSIONS = """SELECT checkpoint_sessions.session_id, checkpoint_sessions.revision, checkpoint_sessions.write_id, checkpoint_sessions.base, checkpoint_sessions.saved_at, checkpoint_sessions.deleted, checkpoint_sessions.epoch
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = :namespace AND checkpoint_sessions.session_id >= :prefix AND checkpoint_sessions.session_id > :after AND (:end IS NULL OR checkpoint_sessions.session_id < :end) UNION ALL SELECT DISTINCT checkpoint_pages.session_id, 0 AS revision, x'' AS write_id, 0 AS base, 0 AS saved_at, 1 AS deleted, 0 AS epoch
FROM checkpoint_pages
WHERE checkpoint_pages.namespace = :namespace AND checkpoint_pages.session_id >= :prefix AND checkpoint_pages.session_id > :after AND (:end IS NULL OR checkpoint_pages.session_id < :end) AND NOT (EXISTS (SELECT checkpoint_sessions.id
FROM checkpoint_sessions
WHERE checkpoint_sessions.namespace = checkpoint_pages.namespace AND checkpoint_sessions.session_id = checkpoint_pages.session_id)) ORDER BY session_id
 LIMIT :limit OFFSET 0"""
ADD_PAGE = """INSERT INTO checkpoint_pages (namespace, session_id, page, stored_at, body) SELECT :namespace AS anon_1, :session_id AS anon_2, :page AS anon_3, :stored_at AS anon_4, :body AS anon_5
WHERE NOT (EXISTS (SELECT checkpoint_pages.page
FROM checkpoint_pages
WHERE checkpoint_pages.namespace = :namespace AND checkpoint_pages.session_id = :session_id AND checkpoint_pages.page = :page))"""
READ_PAGE = """SELECT checkpoint_pages.page, checkpoint_pages.body
FROM checkpoint_pages
WHERE checkpoint_pages.namespace = :namespace AND checkpoint_pages.session_id = :session_id AND checkpoint_pages.page = :page"""
LIST_PAGES = """SELECT checkpoint_pages.page, checkpoint_pages.stored_at, length(checkpoint_pages.body) AS length_1
FROM checkpoint_pages
WHERE checkpoint_pages.namespace = :namespace AND checkpoint_pages.session_id = :session_id ORDER BY checkpoint_pages.page"""
REMOVE_PAGE = """DELETE FROM checkpoint_pages WHERE checkpoint_pages.namespace = :namespace AND checkpoint_pages.session_id = :session_id AND checkpoint_pages.page = :page"""
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
