"""The hydrator: the records of a segment to a state, checked on the way.

Order of the checks: digests and sizes (:mod:`checkpoint.segment`), the schema's name, version and
fields, then the model's own validation. A failure names session, revision and path; nothing
half-built is ever returned.
"""

from __future__ import annotations

from typing import TypeVar

from checkpoint.codec import decode, encode
from checkpoint.errors import CheckpointError
from checkpoint.ids import SessionKey
from checkpoint.schema import Schema, check_same
from checkpoint.segment import Loaded
from checkpoint.serializer import Origin, unsaved

S = TypeVar("S")


def hydrate(key: SessionKey, loaded: Loaded, schema: Schema[S], max_bytes: int) -> tuple[S, Origin]:
    """Build a new state from a segment that was read, and the origin its next save needs.

    The segment holds a document: it does not end in a tombstone.

    Raises:
        SchemaMismatch, SchemaChanged: it was saved with another schema, version or model.
        InvalidState: the model's own validation refuses the stored document.
    """
    header = loaded.header
    try:
        check_same(header.schema, loaded.fields, schema)
        # A copy: a state that is changed in place must not change what it is compared with.
        state = schema.build(decode(encode(loaded.document)))
    except CheckpointError as exc:
        exc.namespace, exc.session_id, exc.revision = *key, header.revision
        raise
    if header.schema == schema.id:
        return state, Origin(loaded.document, loaded.tip, rebase=False)
    return state, unsaved(key, schema, state, loaded.tip, max_bytes)
