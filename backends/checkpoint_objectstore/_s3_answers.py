"""What S3 answers, in the words of this library; the only place that knows its codes."""

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
    "AccessDenied": "give them s3:GetObject, s3:PutObject and s3:DeleteObject on its objects, and "
    "s3:ListBucket on the bucket itself, without which S3 also answers so for every object that "
    "is not there; with SSE-KMS, also kms:GenerateDataKey and kms:Decrypt on the key",
    "AllAccessDisabled": "the bucket's owner has to enable it",
    "AccountProblem": "look at the state of the account",
    "InvalidAccessKeyId": "the access key is not known there; check the credentials and the "
    "endpoint_url",
    "SignatureDoesNotMatch": "the secret does not fit the access key; check the credentials",
    "ExpiredToken": "the session token has expired; get new credentials, such as by aws sso login",
    "InvalidToken": "the session token is not valid; get new credentials",
    "TokenRefreshRequired": "the session token has expired; get new credentials",
    "RequestTimeTooSkewed": "this machine's clock is more than 15 minutes off; set it",
    "RequestExpired": "this machine's clock is off; set it",
    "InvalidObjectState": "the object was moved to an archive; restore it, and take the bucket's "
    "lifecycle rules away from this prefix",
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
    """An answer that is no success.

    Attributes:
        status: of HTTP.
        code: of S3, such as ``NoSuchKey``; the status where it has none.
        message: its sentence; empty where it has none.
        region: where the bucket is, if it says so.
    """

    status: int
    code: str
    message: str = ""
    region: str | None = None

    @property
    def is_absence(self) -> bool:
        """Whether there is no such object; and not no such bucket, or no S3."""
        return self.status == 404 and self.code == "NoSuchKey"

    @property
    def is_failure(self) -> bool:
        """Whether the server could not do what was asked, this time."""
        too_many = self.status == 429 or "SlowDown" in self.code or "Throttl" in self.code
        return too_many or self.status >= 500 or self.code in _DAMAGED_ON_THE_WAY

    @property
    def knows_no_conditions(self) -> bool:
        """Whether the server does not take a write with a condition, as an answer to one."""
        refused = self.status == 400 and self.code not in _DAMAGED_ON_THE_WAY
        return self.status == 501 or (refused and bool(_ABOUT_CONDITIONS.search(str(self))))

    def __str__(self) -> str:
        sentence = self.message.strip().rstrip(".")
        return f"{self.code} ({sentence[:300]})" if sentence else self.code


def told(answer: Answer, bucket: str, *, guarded: bool = False) -> CheckpointError:
    """What an answer means.

    Args:
        bucket: its name, for people.
        guarded: it was to a write with a condition.
    """
    where = f"the bucket {bucket!r}"
    status, code, _, region = answer
    if guarded and answer.knows_no_conditions:
        return StoreUnsafe(
            f"{where} does not know writes with conditions: {answer}. Two writers would overwrite "
            f"each other; use a server that honours If-None-Match and If-Match"
        )
    if code in _FULL or status == 507:
        return StoreFull(f"{where} is full: {answer}; nothing was written. Make room")
    if answer.is_failure:
        return StoreUnavailable(f"{where} failed: {answer}. Try again")
    if code in _ELSEWHERE or status in (301, 302, 307, 308):
        add = f"?region={region}" if region else "the bucket's ?region="
        return StoreDenied(
            f"{where} is in another region, or at another endpoint: {answer}. Add {add} to the URL"
        )
    if code in _DENIED:
        return StoreDenied(f"{where} refused these credentials: {answer}; {_DENIED[code]}")
    if code.startswith("KMS."):
        return StoreDenied(f"{where} cannot use its encryption key: {answer}; look at the KMS key")
    if code in _MISSING:
        return NotAStore(
            f"{where} is not there: {answer}. Create it, or check its name and the endpoint_url"
        )
    if status in (401, 403):
        return StoreDenied(
            f"{where} refused these credentials: {answer}; {_DENIED['AccessDenied']}"
        )
    if status in (409, 412):
        return StoreUnavailable(f"{where} did not say whether the object was written: {answer}")
    if status == 404:
        return NotAStore(
            f"{where} is not there, or its endpoint is no S3 server: {answer}. Check the "
            f"endpoint_url"
        )
    return StoreError(f"{where} refused the request: {answer}")


def sent_twice(error: CheckpointError) -> CheckpointError:
    """The refusal of a write that was sent before: what did not come may have been a success."""
    if isinstance(error, StoreUnavailable):
        return error
    return StoreUnavailable(f"{error}. It was sent before, and that may have been done")


def undeleted(error: Mapping[str, str], bucket: str) -> CheckpointError:
    """Why an object was not deleted, as the answer to a request for many tells it."""
    told = f"the bucket {bucket!r} did not delete {error.get('Key')!r}: {error.get('Code')} "
    told += f"({error.get('Message')})"
    if error.get("Code") in _DENIED:
        return StoreDenied(f"{told}. Give these credentials s3:DeleteObject on its objects")
    return StoreUnavailable(f"{told}. Try again")
