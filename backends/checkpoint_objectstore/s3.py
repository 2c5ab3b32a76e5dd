"""Objects in a bucket of S3, or of a server that speaks its protocol, through botocore."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from checkpoint.errors import InvalidOption, StoreUnavailable
from checkpoint.registry import redact
from checkpoint_objectstore.objects import Entry, Object
from checkpoint_objectstore.s3_client import DEFAULT_TIMEOUT, Settings, checked
from checkpoint_objectstore.s3_errors import (
    FAILURES,
    code_of,
    status_of,
    translated,
    undeleted,
    was_sent_again,
)

if TYPE_CHECKING:
    from checkpoint.store import Store

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]", re.ASCII)
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?", re.ASCII)
_LONGEST_PREFIX = 300  # bytes; a key of ours takes up to 700 of the 1,024 that S3 gives
_BATCH = 1000  # keys that one request may delete

_OPTIONS = {
    "endpoint_url": "of a server other than AWS's",
    "kms_key_id": "a KMS key to encrypt with",
    "path_style": "true or false",
    "profile": "of AWS's configuration files",
    "region": "of the bucket",
    "timeout": f"seconds without a byte before a try is given up, {DEFAULT_TIMEOUT:g} by default",
}


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
        if not _BUCKET.fullmatch(bucket) and not bucket.startswith("arn:"):
            raise InvalidOption(f"{bucket!r:.80} is no name of a bucket")
        self._bucket = bucket
        self._root = _root(prefix)
        if endpoint_url is not None and not re.fullmatch(r"https?://[^@?#\s]+", endpoint_url):
            raise InvalidOption(
                f"an endpoint_url is http(s)://host:port, without credentials, not "
                f"{redact(endpoint_url)!r:.200}"
            )
        if timeout is not None and not 0 < timeout < 1e6:
            raise InvalidOption(f"timeout is a number of seconds above 0, not {timeout!r:.40}")
        settings = Settings(endpoint_url, region, profile, path_style, timeout)
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
        """Make a client, so that those of this process are made in less time later."""
        self._clients.client()

    def close(self) -> None:
        self._clients.close()

    # --- requests --------------------------------------------------------------------------------

    def _read(self, key: str, **condition: str) -> Object:
        answer = self._clients.client().get_object(
            Bucket=self._bucket, Key=self._root + key, **condition
        )
        with closing(answer["Body"]) as body:
            return Object(body.read(), answer.get("ETag", ""))

    def _write(self, key: str, data: bytes, **condition: str) -> str:
        answer = self._clients.client().put_object(
            Bucket=self._bucket, Key=self._root + key, Body=data, **self._sealing, **condition
        )
        return str(answer.get("ETag", ""))

    def _guarded(self, key: str, data: bytes, **condition: str) -> str | None:
        try:
            tag = self._write(key, data, **condition)
        except FAILURES as exc:
            refused = status_of(exc) == 412 or ("IfMatch" in condition and _is_absent(exc))
            # Sent a second time, it may have been refused because of what the first did.
            if refused and not was_sent_again(exc):
                return None
            raise self._translated(exc, writes=True, guarded=True) from exc
        if not tag:
            raise StoreUnavailable(
                f"the bucket {self._bucket!r} answered to a write without an ETag; it is no S3 "
                f"server, or something on the way removes headers"
            )
        return tag

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


def open_store(url: str) -> Store:
    """Open ``s3://bucket/prefix``, with credentials from the environment, AWS's files or a role.

    Parameters: ``endpoint_url``, ``region``, ``profile``, ``kms_key_id``, ``path_style`` (true or
    false) and ``timeout`` (seconds without a byte before a try is given up, default 10).

    Raises:
        InvalidOption: the URL names no bucket, or has another parameter.

    Example:
        >>> store = open_store("s3://agents/prod?region=eu-central-1&timeout=5")
    """
    from checkpoint_objectstore._sync.store import ObjectStore

    return ObjectStore(objects_of(url))


def objects_of(url: str) -> S3Objects:
    """What an S3 URL names, as :func:`open_store` takes it."""
    location, _, query = url.partition("?")
    bucket, _, prefix = location.partition("://")[2].partition("/")
    given = dict(parse_qsl(query, keep_blank_values=True))
    if "@" in bucket:
        raise InvalidOption(
            f"{redact(url)!r}: credentials do not belong in a URL; set AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY, or name a ?profile="
        )
    if not _BUCKET.fullmatch(bucket):
        raise InvalidOption(
            f"{redact(url)!r} names no bucket; write s3://bucket or s3://bucket/prefix"
        )
    unknown = sorted(given.keys() - _OPTIONS)
    empty = sorted(name for name, value in given.items() if not value)
    if unknown or empty:
        told = "; ".join(f"{name} ({meaning})" for name, meaning in _OPTIONS.items())
        wrong = f"no parameter {unknown[0]!r:.40}" if unknown else f"an empty {empty[0]!r:.40}"
        raise InvalidOption(f"{redact(url)!r}: an S3 URL has {wrong}; it takes {told}")
    style, timeout = given.pop("path_style", None), given.pop("timeout", None)
    if style not in (None, "true", "false"):
        raise InvalidOption(f"{redact(url)!r}: path_style is true or false")
    if timeout is not None and not _SECONDS.fullmatch(timeout):
        raise InvalidOption(f"{redact(url)!r}: timeout is a number of seconds")
    return S3Objects(
        bucket,
        unquote(prefix),
        path_style=None if style is None else style == "true",
        timeout=None if timeout is None else float(timeout),
        **given,
    )


def _root(prefix: str) -> str:
    """What keys begin with."""
    prefix = prefix.strip("/")
    # The parts of a path that HTTP clients resolve would lead to other keys than were signed.
    if any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
        raise InvalidOption(f"a prefix has no empty parts, '.' or '..', as {prefix!r:.80} does")
    if not prefix.isprintable() or len(prefix.encode("utf-8", "replace")) > _LONGEST_PREFIX:
        raise InvalidOption(
            f"a prefix has up to {_LONGEST_PREFIX} bytes, and no control characters; "
            f"{prefix!r:.80} does not do"
        )
    return prefix + "/" if prefix else ""


def _is_absent(exc: BaseException) -> bool:
    """Whether S3 said that there is no such object, and not that there is no bucket, or no S3."""
    return status_of(exc) == 404 and code_of(exc) == "NoSuchKey"
