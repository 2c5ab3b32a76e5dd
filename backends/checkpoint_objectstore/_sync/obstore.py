"""The S3 driver based on obstore: starts fast and is natively asynchronous."""

# Generated from checkpoint_objectstore/_async/obstore.py by tools/unasync.py: change that one.

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from checkpoint._runtime.waiting import Attempts
from checkpoint.errors import StoreUnavailable
from checkpoint_objectstore._names import END
from checkpoint_objectstore._obstore_client import Clients
from checkpoint_objectstore._obstore_errors import answer_of, is_failure, translated, undeleted_of
from checkpoint_objectstore._s3_answers import Answer, sent_twice
from checkpoint_objectstore._s3_settings import Settings, checked_bucket, checked_settings, root_of
from checkpoint_objectstore._workers import Workers
from checkpoint_objectstore.objects import Entry, Object

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta, PutMode

T = TypeVar("T")

_AT_ONCE = 16  # concurrent requests
_BATCH = 1000  # keys deleted by one request
_TRIES = 3
_FIRST_PAUSE = 0.2  # seconds
_LONGEST_PAUSE = 0.4


class ObstoreObjects:
    """The objects of an S3 bucket under a prefix, accessed with obstore.

    The first call creates the client. Each request is tried up to three times. Safe to share
    between threads. In a forked child it works if obstore was not used before the fork, and raises
    StoreError if this library used it. A cancelled call may still write, like one whose reply is
    lost: completely or not at all.

    Args:
        bucket: its name.
        prefix: of all keys, without a final ``/``; empty for the whole bucket.
        kms_key_id: a KMS key that encrypts the objects.
        endpoint_url: of a server other than AWS's.
        region: of the bucket.
        profile: must be None; obstore does not read AWS's configuration files.
        path_style: whether the path of requests names the bucket; None to choose automatically.
        timeout: seconds without a byte before a try fails; None: 10. An upload must be answered
            within this time from its start, and in proportionally more above a megabyte.
        credential_provider: a function that returns credentials, as obstore takes it; by default
            they come from the environment, or from a role of EC2, ECS or EKS.

    Raises:
        InvalidOption: an argument is invalid, or not supported by obstore.
        StoreDenied: from any call, the credentials are refused or missing.
        NotAStore: from any call, the bucket does not exist.
        StoreUnavailable: from any call, no answer came.

    Example:
        >>> ObstoreObjects("agents", "prod", region="eu-central-1", timeout=5)
        ObstoreObjects('agents', 'prod')
    """

    _page: int = 1000  # keys in a page of a listing

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        kms_key_id: str | None = None,
        endpoint_url: str | None = None,
        region: str | None = None,
        profile: str | None = None,
        path_style: bool | None = None,
        timeout: float | None = None,
        credential_provider: Callable[[], Any] | None = None,
    ) -> None:
        self._bucket = checked_bucket(bucket)
        self._root = root_of(prefix)
        settings = checked_settings(Settings(endpoint_url, region, profile, path_style, timeout))
        self._clients = Clients(bucket, settings, kms_key_id, credential_provider)
        self._workers = Workers(_AT_ONCE)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._bucket!r}, {self._root[:-1]!r})"

    # --- reading ---------------------------------------------------------------------------------

    def get(self, key: str, unless: str = "") -> Object | None:
        options: GetOptions = {"if_none_match": unless} if unless else {}

        def read() -> Object:
            return self._read(key, options)

        found = self._tried(read, _absent_or(304 if unless else 0))
        if isinstance(found, Answer):
            return Object(b"", unless) if found.status == 304 else None
        return found

    def get_many(self, keys: Sequence[str], first: int | None = None) -> dict[str, bytes]:
        # A range cannot be empty, so it asks for at least one byte.
        options: GetOptions = {} if first is None else {"range": (0, max(first, 1))}

        def fetch(key: str) -> bytes | None:
            def read() -> Object:
                return self._read(key, options)

            found = self._tried(read, _absent_or(0 if first is None else 416))
            if isinstance(found, Answer):
                return b"" if found.status == 416 else None  # 416: the object is empty
            return found.data[:first]

        found = zip(keys, self._at_once(fetch, keys), strict=True)
        return {key: data for key, data in found if data is not None}

    def list(self, prefix: str, after: str = "") -> builtins.list[Entry]:
        whole = self._root + prefix
        # obstore lists whole folders, so the search for a partial name starts just before it.
        inside, _, start = whole.rpartition("/")
        offset = max(self._root + after if after else "", whole[:-1] if start else "")
        while items := self._listed(inside, offset):
            entries = [
                Entry(
                    item["path"][len(self._root) :],
                    item["size"],
                    int(item["last_modified"].timestamp() * 1_000_000),
                )
                for item in items
                if item["path"].startswith(whole)
            ]
            if found := [entry for entry in entries if entry.key > after]:
                return found
            offset = items[-1]["path"]
            if offset > whole and not offset.startswith(whole):
                break
        return []

    def folders(self, folder: str, prefix: str, after: str = "") -> builtins.list[str]:
        # obstore's listing of folders cannot start at an offset, so this one derives folders from
        # keys. The offset skips the remaining keys of a folder already found.
        inside = self._root + folder
        offset = inside + max(prefix, f"{after}/~" if after.endswith(END) else after)
        while items := self._listed(inside[:-1], offset):
            parts = [item["path"][len(inside) :].partition("/") for item in items]
            names = dict.fromkeys(name for name, slash, _ in parts if slash)
            if found := [name for name in names if name.startswith(prefix) and name > after]:
                return found
            last, slash, _ = parts[-1]
            if last > prefix and not last.startswith(prefix):
                break
            offset = max(items[-1]["path"], f"{inside}{last}/~" if slash else "")
        return []

    # --- writing ---------------------------------------------------------------------------------

    def create(self, key: str, data: bytes) -> str | None:
        return self._guarded(key, data, "create", lambda answer: answer.status == 412)

    def replace(self, key: str, data: bytes, tag: str) -> str | None:
        if not tag:  # no object has an empty tag; passed on, it would be no condition
            return None
        return self._guarded(key, data, {"e_tag": tag}, _absent_or(412))

    def put_many(self, objects: Mapping[str, bytes]) -> None:
        def put(key: str) -> None:
            def write() -> str:
                return self._write(key, objects[key], "overwrite")

            self._tried(write, writes=True)

        self._at_once(put, [*objects])

    def delete(self, keys: Sequence[str]) -> None:
        for at in range(0, len(keys), _BATCH):
            paths = [self._root + key for key in keys[at : at + _BATCH]]

            def delete(paths: builtins.list[str] = paths) -> None:
                self._delete(paths)

            self._tried(delete, writes=True)

    def close(self) -> None:
        self._workers.close()
        self._clients.close()

    # --- requests --------------------------------------------------------------------------------

    def _read(self, key: str, options: GetOptions) -> Object:
        import obstore

        answer = obstore.get(self._clients.client(), self._root + key, options=options)
        data = bytes(answer.bytes())
        return Object(data, self._tag(answer.meta["e_tag"]))

    def _write(self, key: str, data: bytes, mode: PutMode) -> str:
        import obstore

        client = self._clients.client(len(data))
        answer = obstore.put(client, self._root + key, data, mode=mode, use_multipart=False)
        return self._tag(answer["e_tag"])

    def _guarded(
        self, key: str, data: bytes, mode: PutMode, refused: Callable[[Answer], bool]
    ) -> str | None:
        def write() -> str:
            return self._write(key, data, mode)

        tag = self._tried(write, refused, writes=True, guarded=True)
        return None if isinstance(tag, Answer) else tag

    def _listed(self, folder: str, offset: str) -> Sequence[ObjectMeta]:
        """Some of the objects in a folder, in byte order; empty only if there are no more."""

        def read() -> Sequence[ObjectMeta]:
            stream = self._clients.client().list(
                folder or None, offset=offset or None, chunk_size=self._page
            )
            for items in stream:
                return items
            return []

        items = self._tried(read)
        assert not isinstance(items, Answer)
        return items

    def _delete(self, paths: Sequence[str]) -> None:
        import obstore

        while paths:
            try:
                obstore.delete(self._clients.client(), paths)
                return
            except Exception as exc:
                # obstore reports the first failed deletion, even that of a missing object.
                gone = undeleted_of(exc)
                if gone is None or gone.code != "NoSuchKey" or gone.path not in paths:
                    raise
                paths = [path for path in paths if path != gone.path]

    def _tried(
        self,
        call: Callable[[], T],
        expected: Callable[[Answer], bool] = lambda answer: False,
        *,
        writes: bool = False,
        guarded: bool = False,
    ) -> T | Answer:
        """The result of a call, tried a few times, or an expected answer."""
        again = False  # an earlier try of this write may have made its condition fail
        for left in Attempts(_TRIES, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE):
            try:
                return call()
            except BaseException as exc:
                if not is_failure(exc):
                    raise
                answer = answer_of(exc, self._bucket)
                if answer is not None and expected(answer) and not again:
                    return answer
                error = translated(exc, self._bucket, guarded=guarded)
                passing = isinstance(error, StoreUnavailable) and (
                    answer is None or answer.is_failure
                )
                if not (passing and left):
                    raise (sent_twice(error) if again else error) from exc
                again = writes
        raise AssertionError

    def _at_once(self, call: Callable[[str], T], keys: Sequence[str]) -> builtins.list[T]:
        if not keys:
            return []
        self._clients.client()  # raises in a forked child, which has no workers either
        return self._workers.map(call, keys)

    def _tag(self, tag: str | None) -> str:
        if not tag:
            raise StoreUnavailable(
                f"the bucket {self._bucket!r} answered without an ETag; it is not an S3 server, or "
                f"a proxy removes headers"
            )
        return tag


def _absent_or(status: int) -> Callable[[Answer], bool]:
    """Whether an answer has this status, or says that the object does not exist."""
    return lambda answer: answer.status == status or answer.is_absence
