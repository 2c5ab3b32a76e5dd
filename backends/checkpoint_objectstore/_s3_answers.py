"""Translates error answers of S3 to errors of this library."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from checkpoint.errors import (
    CheckpointError,
    NotAStore,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreUnsafe,
)

_DENIED = {
    "AccessDenied": "grant s3:GetObject, s3:PutObject and s3:DeleteObject on the objects, and "
    "s3:ListBucket on the bucket itself, without which S3 gives this answer for every missing "
    "object; with SSE-KMS, also kms:GenerateDataKey and kms:Decrypt on the key",
    "AllAccessDisabled": "the bucket's owner must enable access",
    "AccountProblem": "check the state of the account",
    "InvalidAccessKeyId": "the server does not know the access key; check the credentials and the "
    "endpoint_url",
    "SignatureDoesNotMatch": "the secret does not match the access key; check the credentials",
    "ExpiredToken": "the session token has expired; get new credentials, e.g. with aws sso login",
    "InvalidToken": "the session token is not valid; get new credentials",
    "TokenRefreshRequired": "the session token has expired; get new credentials",
    "RequestTimeTooSkewed": "this machine's clock is more than 15 minutes off; set it",
    "RequestExpired": "this machine's clock is off; set it",
    "InvalidObjectState": "the object was archived; restore it, and exclude this prefix from the "
    "bucket's lifecycle rules",
}
_ELSEWHERE = {
    "PermanentRedirect",
    "TemporaryRedirect",
    "Redirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "InvalidRegionName",
}
_MISSING = {"NoSuchBucket", "InvalidBucketName"}
_FULL = {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "StorageFull"}
_DAMAGED_ON_THE_WAY = {
    "BadDigest",
    "IncompleteBody",
    "RequestTimeout",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
}
_ABOUT_CONDITIONS = re.compile(r"(?i)if-(none-)?match|conditional")


class Answer(NamedTuple):
    """An error answer.

    Attributes:
        status: of HTTP.
        code: of S3, such as ``NoSuchKey``; the status if the answer has no code.
        message: may be empty.
        region: of the bucket, if the answer has it.
    """

    status: int
    code: str
    message: str = ""
    region: str | None = None

    @property
    def is_absence(self) -> bool:
        """Whether the object does not exist, as opposed to the bucket or the server."""
        return self.status == 404 and self.code == "NoSuchKey"

    @property
    def is_failure(self) -> bool:
        """Whether the server failed; the same request may succeed later."""
        too_many = self.status == 429 or "SlowDown" in self.code or "Throttl" in self.code
        return too_many or self.status >= 500 or self.code in _DAMAGED_ON_THE_WAY

    @property
    def knows_no_conditions(self) -> bool:
        """As the answer to a conditional write: whether the server does not support them."""
        refused = self.status == 400 and self.code not in _DAMAGED_ON_THE_WAY
        return self.status == 501 or (refused and bool(_ABOUT_CONDITIONS.search(str(self))))

    def __str__(self) -> str:
        sentence = self.message.strip().rstrip(".")
        return f"{self.code} ({sentence[:300]})" if sentence else self.code


def error_of(answer: Answer, bucket: str, *, guarded: bool = False) -> CheckpointError:
    """Translate an answer to an error.

    Args:
        bucket: its name, for the message.
        guarded: whether the request was a conditional write.
    """
    where = f"the bucket {bucket!r}"
    status, code, _, region = answer
    if guarded and answer.knows_no_conditions:
        return StoreUnsafe(
            f"{where} does not support conditional writes: {answer}. Two writers would overwrite "
            f"each other; use a server that honours If-None-Match and If-Match"
        )
    if code in _FULL or status == 507:
        return StoreFull(f"{where} is full: {answer}; nothing was written. Make room")
    if answer.is_failure:
        return StoreUnavailable(f"{where} failed: {answer}. Try again")
    if code in _ELSEWHERE or status in (301, 302, 307, 308):
        add = f"?region={region}" if region else "the bucket's ?region="
        return StoreDenied(
            f"{where} is in another region or at another endpoint: {answer}. Add {add} to the URL"
        )
    if code in _DENIED:
        return StoreDenied(f"{where} refused these credentials: {answer}; {_DENIED[code]}")
    if code.startswith("KMS."):
        return StoreDenied(f"{where} cannot use its encryption key: {answer}; check the KMS key")
    if code in _MISSING:
        return NotAStore(
            f"{where} does not exist: {answer}. Create it, or check its name and the endpoint_url"
        )
    if status in (401, 403):
        return StoreDenied(
            f"{where} refused these credentials: {answer}; {_DENIED['AccessDenied']}"
        )
    if status in (409, 412):
        return StoreUnavailable(f"{where} did not say whether the object was written: {answer}")
    if status == 404:
        return NotAStore(
            f"{where} does not exist, or its endpoint is not an S3 server: {answer}. Check the "
            f"endpoint_url"
        )
    return StoreError(f"{where} refused the request: {answer}")


def sent_twice(error: CheckpointError) -> CheckpointError:
    """Translate the refusal of a repeated write, whose first try may have succeeded."""
    if isinstance(error, StoreUnavailable):
        return error
    return StoreUnavailable(f"{error}. An earlier try of this request may have been done")


def undeleted(error: Mapping[str, str], bucket: str) -> CheckpointError:
    """Translate the entry for one object in the answer to a batch deletion."""
    message = f"the bucket {bucket!r} did not delete {error.get('Key')!r}: {error.get('Code')} "
    message += f"({error.get('Message')})"
    if error.get("Code") in _DENIED:
        return StoreDenied(f"{message}. Grant these credentials s3:DeleteObject on the objects")
    return StoreUnavailable(f"{message}. Try again")
