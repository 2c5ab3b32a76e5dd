"""The driver for S3 and compatible servers, based on botocore."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from checkpoint.errors import StoreUnavailable
from checkpoint_objectstore._s3_answers import undeleted
from checkpoint_objectstore._s3_client import checked, warm
from checkpoint_objectstore._s3_errors import (
    FAILURES,
    code_of,
    status_of,
    translated,
    was_sent_again,
)
from checkpoint_objectstore._s3_settings import (
    Settings,
    checked_bucket,
    checked_settings,
    parsed,
    root_of,
)
from checkpoint_objectstore.objects import Entry, Object

_BATCH = 1000  # keys deleted by one request


class S3Objects:
    """The objects of a bucket under a prefix.

    The first call creates the client, unless one is given. It tries each request up to three times,
    in botocore's "standard" retry mode. Safe to share between threads and with a forked child.

    Args:
        bucket: its name, or the ARN of an access point.
        prefix: of all keys, without a final ``/``; empty for the whole bucket.
        client: a boto3 client, used unchanged and never closed. Or:
        session: a session of boto3 or botocore; by default a new one, which finds credentials in
            the environment, in AWS's files and from roles.
        kms_key_id: a KMS key that encrypts the objects.
        endpoint_url: of a server other than AWS's.
        region: of the bucket.
        profile: a section of AWS's configuration files.
        path_style: whether the path of requests names the bucket; None to choose automatically.
        timeout: seconds without a byte before a try fails; None: 10.

    Raises:
        InvalidOption: an argument is invalid.
        StoreDenied: from any call, the credentials are refused or missing.
        NotAStore: from any call, the bucket does not exist.
        StoreUnavailable: from any call, no answer came.

    Example:
        >>> import boto3
        >>> session = boto3.Session(region_name="eu-central-1")
        >>> S3Objects("agents", "prod", session=session)
        S3Objects('agents', 'prod')
    """

    _page: int | None = None  # keys in a page of a listing; None for the server's default

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        client: Any = None,
        session: Any = None,
        kms_key_id: str | None = None,
        endpoint_url: str | None = None,
        region: str | None = None,
        profile: str | None = None,
        path_style: bool | None = None,
        timeout: float | None = None,
    ) -> None:
        self._bucket = checked_bucket(bucket)
        self._root = root_of(prefix)
        settings = checked_settings(Settings(endpoint_url, region, profile, path_style, timeout))
        self._clients = checked(client, session, settings)
        self._sealing: dict[str, str] = {}
        if kms_key_id is not None:
            self._sealing = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id}

    def __repr__(self) -> str:
        return f"S3Objects({self._bucket!r}, {self._root[:-1]!r})"

    # --- reading ---------------------------------------------------------------------------------

    def get(self, key: str, unless: str = "") -> Object | None:
        condition = {"IfNoneMatch": unless} if unless else {}
        try:
            return self._read(key, **condition)
        except FAILURES as exc:
            if unless and status_of(exc) == 304:
                return Object(b"", unless)
            if _is_absent(exc):
                return None
            raise self._translated(exc) from exc

    def get_many(self, keys: Sequence[str], first: int | None = None) -> dict[str, bytes]:
        # A range cannot be empty, so it asks for at least one byte.
        part = {} if first is None else {"Range": f"bytes=0-{max(first, 1) - 1}"}

        def fetch(key: str) -> bytes | None:
            try:
                return self._read(key, **part).data[:first]
            except FAILURES as exc:
                if first is not None and status_of(exc) == 416:
                    return b""  # the object is empty
                if _is_absent(exc):
                    return None
                raise self._translated(exc) from exc

        found = zip(keys, self._at_once(fetch, keys), strict=True)
        return {key: data for key, data in found if data is not None}

    def list(self, prefix: str, after: str = "") -> builtins.list[Entry]:
        start = self._root + after if after else ""
        for answer in self._pages(Prefix=self._root + prefix, StartAfter=start):
            entries = [
                Entry(
                    item["Key"][len(self._root) :],
                    item["Size"],
                    int(item["LastModified"].timestamp() * 1_000_000),
                )
                for item in answer.get("Contents", ())
            ]
            if found := [entry for entry in entries if entry.key > after]:
                return found
        return []

    def folders(self, folder: str, prefix: str, after: str = "") -> builtins.list[str]:
        inside = self._root + folder
        # If ``after`` is a folder, the server lists it again, because its keys sort after it. A
        # later start would skip it, but also other folders that only begin with the same name.
        start = inside + after if after else ""
        for answer in self._pages(Prefix=inside + prefix, Delimiter="/", StartAfter=start):
            names = [item["Prefix"][len(inside) : -1] for item in answer.get("CommonPrefixes", ())]
            if found := [name for name in names if name > after]:
                return found
        return []

    # --- writing ---------------------------------------------------------------------------------

    def create(self, key: str, data: bytes) -> str | None:
        return self._guarded(key, data, IfNoneMatch="*")

    def replace(self, key: str, data: bytes, tag: str) -> str | None:
        if not tag:  # no object has an empty tag; passed on, it would be no condition
            return None
        return self._guarded(key, data, IfMatch=tag)

    def put_many(self, objects: Mapping[str, bytes]) -> None:
        def put(item: tuple[str, bytes]) -> None:
            try:
                self._write(*item)
            except FAILURES as exc:
                raise self._translated(exc, writes=True) from exc

        self._at_once(put, objects.items())

    def delete(self, keys: Sequence[str]) -> None:
        for at in range(0, len(keys), _BATCH):
            named = [{"Key": self._root + key} for key in keys[at : at + _BATCH]]
            try:
                answer = self._clients.client().delete_objects(
                    Bucket=self._bucket, Delete={"Objects": named, "Quiet": True}
                )
            except FAILURES as exc:
                raise self._translated(exc, writes=True) from exc
            # The request succeeds even if every deletion in it fails.
            for error in answer.get("Errors", ()):
                if error.get("Code") != "NoSuchKey":
                    raise undeleted(error, self._bucket)

    def preload(self) -> None:
        """Load the data that every client needs, so that the first call takes less time."""
        try:
            warm()
        except FAILURES as exc:
            raise self._translated(exc) from exc

    def close(self) -> None:
        self._clients.close()

    # --- requests --------------------------------------------------------------------------------

    def _read(self, key: str, **condition: str) -> Object:
        answer = self._clients.client().get_object(
            Bucket=self._bucket, Key=self._root + key, **condition
        )
        with closing(answer["Body"]) as body:
            return Object(body.read(), self._tag(answer))

    def _write(self, key: str, data: bytes, **condition: str) -> Any:
        return self._clients.client().put_object(
            Bucket=self._bucket, Key=self._root + key, Body=data, **self._sealing, **condition
        )

    def _guarded(self, key: str, data: bytes, **condition: str) -> str | None:
        try:
            answer = self._write(key, data, **condition)
        except FAILURES as exc:
            refused = status_of(exc) == 412 or ("IfMatch" in condition and _is_absent(exc))
            # An earlier try of this write may have made its condition fail.
            if refused and not was_sent_again(exc):
                return None
            raise self._translated(exc, writes=True, guarded=True) from exc
        return self._tag(answer)

    def _tag(self, answer: Mapping[str, Any]) -> str:
        """The tag of an object. Without one, changes would go unnoticed."""
        if not (tag := answer.get("ETag")):
            raise StoreUnavailable(
                f"the bucket {self._bucket!r} answered without an ETag; it is not an S3 server, or "
                f"a proxy removes headers"
            )
        return str(tag)

    def _pages(self, **query: Any) -> Any:
        """Yield the pages of a listing, each requested only when needed."""
        query = {name: value for name, value in query.items() if value}
        if self._page is not None:
            query["MaxKeys"] = self._page
        more = True
        while more:
            try:
                answer = self._clients.client().list_objects_v2(Bucket=self._bucket, **query)
            except FAILURES as exc:
                raise self._translated(exc) from exc
            yield answer
            query["ContinuationToken"] = answer.get("NextContinuationToken")
            more = bool(answer.get("IsTruncated") and query["ContinuationToken"])

    def _at_once(self, call: Callable[[Any], Any], items: Any) -> builtins.list[Any]:
        if not items:
            return []
        try:
            workers = self._clients.workers()
        except FAILURES as exc:  # the client could not be created
            raise self._translated(exc) from exc
        return workers.map(call, items)

    def _translated(
        self, exc: BaseException, *, writes: bool = False, guarded: bool = False
    ) -> Exception:
        return translated(exc, self._bucket, writes=writes, guarded=guarded)


def objects_of(url: str) -> S3Objects:
    """The driver for an S3 URL; see :func:`checkpoint_objectstore._s3_url.open_store`."""
    return S3Objects(**parsed(url)[1])


def _is_absent(exc: BaseException) -> bool:
    """Whether the object does not exist, as opposed to the bucket or the server."""
    return status_of(exc) == 404 and code_of(exc) == "NoSuchKey"
