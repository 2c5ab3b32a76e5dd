"""Opens ``s3://`` URLs with boto3 or obstore.

Imports only the one it uses: each takes half of a cold start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from checkpoint_objectstore._s3_settings import parsed

if TYPE_CHECKING:
    from checkpoint.store import AsyncStore, Store


def open_store(url: str) -> Store:
    """Open ``s3://bucket/prefix``, with credentials from the environment, AWS's files or a role.

    Parameters: ``endpoint_url``, ``region``, ``profile``, ``kms_key_id``, ``path_style`` (true or
    false), ``timeout`` (seconds without a byte before a try fails, default 10) and ``transport``
    (boto3, the default, or obstore, which does not support ``profile``).

    Raises:
        InvalidOption: the URL has no bucket, or an invalid or unknown parameter.
        UnknownStore: the client is not installed.

    Example:
        >>> store = open_store("s3://agents/prod?region=eu-central-1&timeout=5")
    """
    from checkpoint_objectstore._sync.store import ObjectStore

    transport, arguments = parsed(url)
    if transport == "obstore":
        from checkpoint_objectstore._sync.obstore import ObstoreObjects

        return ObjectStore(ObstoreObjects(**arguments))
    from checkpoint_objectstore.s3 import S3Objects

    return ObjectStore(S3Objects(**arguments))


def open_async_store(url: str) -> AsyncStore:
    """Open an asynchronous store: obstore natively, boto3 in threads.

    Example:
        >>> store = open_async_store("s3://agents/prod?transport=obstore")
    """
    if parsed(url)[0] == "obstore":
        from checkpoint_objectstore._async.obstore import AsyncObstoreObjects
        from checkpoint_objectstore._async.store import AsyncObjectStore

        return AsyncObjectStore(AsyncObstoreObjects(**parsed(url)[1]))
    from checkpoint._stores.threads import ThreadedStore

    return ThreadedStore(open_store(url))
