"""Objects in a bucket of S3, or of a server that speaks its protocol, through botocore."""

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

_BATCH = 1000  # keys that one request may delete


class S3Objects:
    """The objects of a bucket whose keys begin with a prefix.

    The client is made by the first call. Unless one is given, it tries each request up to three
    times, as botocore's "standard" mode does. Safe to share between threads and with a forked
    child.

    Args:
        bucket: its name, or the ARN of an access point.
        prefix: what all keys begin with, without the ``/`` at its end; empty: the whole bucket.
        client: a client of boto3, used as it is, and not closed. Or:
        session: a session of boto3 or botocore; by default a new one, which finds credentials in
            the environment, in AWS's files and from roles.
        kms_key_id: a KMS key that objects are encrypted with.
        endpoint_url: of a server other than AWS's.
        region: of the bucket.
        profile: a section of AWS's configuration files.
        path_style: whether the bucket is named in the path of requests; None: whatever fits.
        timeout: seconds without a byte before a try is given up; None: 10.

    Raises:
        InvalidOption: an argument that has no meaning.
        StoreDenied: from any call, the credentials are refused, or there are none.
        NotAStore: from any call, there is no such bucket.
        StoreUnavailable: from any call, no answer came.

    Example:
        >>> import boto3
        >>> session = boto3.Session(region_name="eu-central-1")
        >>> S3Objects("agents", "prod", session=session)
        S3Objects('agents', 'prod')
    """

    _page: int | None = None  # keys in a listing's answer; None: as many as the server likes

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
        # A range cannot be empty, so of nothing at least a byte is asked for.
        part = {} if first is None else {"Range": f"bytes=0-{max(first, 1) - 1}"}

        def fetch(key: str) -> bytes | None:
            try:
                return self._read(key, **part).data[:first]
            except FAILURES as exc:
                if first is not None and status_of(exc) == 416:
                    return b""  # it is there, and empty
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
        # ``after`` need not be a whole name. If it is one, it comes again: what is in it is behind
        # it. It must not be skipped by the server, which would also skip what only begins like it.
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
        if not tag:  # no object has it; and without it, a write would have no condition
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
            # The answer to the whole is a success even where that to every part is not.
            for error in answer.get("Errors", ()):
                if error.get("Code") != "NoSuchKey":
                    raise undeleted(error, self._bucket)

    def preload(self) -> None:
        """Read what every client needs, so that those of this process are made in less time."""
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
            # Sent a second time, it may have been refused because of what the first did.
            if refused and not was_sent_again(exc):
                return None
            raise self._translated(exc, writes=True, guarded=True) from exc
        return self._tag(answer)

    def _tag(self, answer: Mapping[str, Any]) -> str:
        """The tag of an object. Without one, a change of it would not be seen."""
        if not (tag := answer.get("ETag")):
            raise StoreUnavailable(
                f"the bucket {self._bucket!r} answered without an ETag; it is no S3 server, or "
                f"something on the way removes headers"
            )
        return str(tag)

    def _pages(self, **query: Any) -> Any:
        """Answers to a listing; the second is asked for when the first was not enough."""
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
        except FAILURES as exc:  # there is no client
            raise self._translated(exc) from exc
        return workers.map(call, items)

    def _translated(
        self, exc: BaseException, *, writes: bool = False, guarded: bool = False
    ) -> Exception:
        return translated(exc, self._bucket, writes=writes, guarded=guarded)


def objects_of(url: str) -> S3Objects:
    """What an S3 URL names, as :func:`checkpoint_objectstore._s3_url.open_store` takes it."""
    return S3Objects(**parsed(url)[1])


def _is_absent(exc: BaseException) -> bool:
    """Whether S3 said that there is no such object, and not that there is no bucket, or no S3."""
    return status_of(exc) == 404 and code_of(exc) == "NoSuchKey"
