"""What S3 and botocore say, in the words of this library; the only place that knows their codes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from checkpoint.errors import (
    CheckpointError,
    InvalidOption,
    NotAStore,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreUnsafe,
)

FAILURES = (
    boto.BotoCoreError,
    boto.ClientError,
    ResponseParserError,
    HTTPError,  # from a body that is read after the answer began
    OSError,
    ValueError,  # an endpoint that is no URL
)
"""All that a call of botocore raises when it fails."""

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
_ABOUT_CONDITIONS = re.compile(r"(?i)if-(none-)?match|header|condition")

_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.NoAuthTokenError,
    boto.SSOError,
    boto.TokenRetrievalError,
)
_MISCONFIGURED = (
    boto.ProfileNotFound,
    boto.ConfigNotFound,
    boto.ConfigParseError,
    boto.NoRegionError,
    boto.ParamValidationError,
    boto.InvalidConfigError,
    boto.InvalidRegionError,
    boto.InvalidRetryConfigurationError,
    boto.InvalidS3AddressingStyleError,
    boto.MissingDependencyException,
    boto.EndpointProviderError,
    boto.DataNotFoundError,
)


def code_of(exc: BaseException) -> str:
    """The code in an answer of S3, or its status where it has none; empty for other failures."""
    return str(_error(exc).get("Code", ""))


def status_of(exc: BaseException) -> int:
    """The status of an answer of S3; 0 for other failures."""
    return int(_metadata(exc).get("HTTPStatusCode", 0))


def was_sent_again(exc: BaseException) -> bool:
    """Whether botocore had sent the request before, so that an earlier try may have been done."""
    return bool(_metadata(exc).get("RetryAttempts", 0))


def translated(
    exc: BaseException, bucket: str, *, writes: bool, guarded: bool = False
) -> CheckpointError:
    """A failed call in the words of this library.

    Args:
        bucket: its name, for people.
        writes: the call was to change something.
        guarded: it was a write with a condition.
    """
    if isinstance(exc, boto.ClientError):
        error = _answered(exc, f"the bucket {bucket!r}", guarded)
        if writes and was_sent_again(exc) and not isinstance(error, StoreUnavailable):
            # The last answer is a refusal; the one that did not come may have been a success.
            return StoreUnavailable(f"{error}. It was sent before, and that may have been done")
        return error
    return _unanswered(exc, f"the bucket {bucket!r}")


def undeleted(error: Mapping[str, str], bucket: str) -> CheckpointError:
    """Why an object was not deleted, as the answer to a request for many tells it."""
    told = f"the bucket {bucket!r} did not delete {error.get('Key')!r}: {error.get('Code')} "
    told += f"({error.get('Message')})"
    if error.get("Code") in _DENIED:
        return StoreDenied(f"{told}. Give these credentials s3:DeleteObject on its objects")
    return StoreUnavailable(f"{told}. Try again")


def _answered(exc: boto.ClientError, where: str, guarded: bool) -> CheckpointError:
    code, status, said = code_of(exc), status_of(exc), _said(exc)
    if code in _ELSEWHERE or status in (301, 302, 307, 308):
        region = _error(exc).get("Region") or _headers(exc).get("x-amz-bucket-region")
        add = f"?region={region}" if region else "the bucket's ?region="
        return StoreDenied(
            f"{where} is in another region, or at another endpoint: {said}. Add {add} to the URL"
        )
    if code in _DENIED:
        return StoreDenied(f"{where} refused these credentials: {said}; {_DENIED[code]}")
    if code.startswith("KMS."):
        return StoreDenied(f"{where} cannot use its encryption key: {said}; look at the KMS key")
    if code in _MISSING:
        return NotAStore(
            f"{where} is not there: {said}. Create it, or check its name and the endpoint_url"
        )
    if code in _FULL or status == 507:
        return StoreFull(f"{where} is full: {said}; nothing was written. Make room")
    if status in (401, 403):
        return StoreDenied(f"{where} refused these credentials: {said}; {_DENIED['AccessDenied']}")
    if guarded and (status == 501 or (status == 400 and _ABOUT_CONDITIONS.search(said))):
        return StoreUnsafe(
            f"{where} does not know writes with conditions: {said}. Two writers would overwrite "
            f"each other; use a server that honours If-None-Match and If-Match"
        )
    if status in (409, 412):
        return StoreUnavailable(f"{where} did not say whether the object was written: {said}")
    if status >= 500 or status == 429 or code in _DAMAGED_ON_THE_WAY or "SlowDown" in code:
        return StoreUnavailable(f"{where} failed: {said}. Try again")
    if status == 404:
        return NotAStore(
            f"{where} is not there, or its endpoint is no S3 server: {said}. Check the endpoint_url"
        )
    return StoreError(f"{where} refused the request: {said}")


def _unanswered(exc: BaseException, where: str) -> CheckpointError:
    if isinstance(exc, _NO_CREDENTIALS):
        return StoreDenied(
            f"there are no usable credentials for {where}: {exc}. Set AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY, name a ?profile=, or run with a role"
        )
    if isinstance(exc, _MISCONFIGURED) or type(exc) is ValueError:
        return InvalidOption(f"{where} cannot be used as configured: {exc}")
    if isinstance(exc, boto.FlexibleChecksumError):
        return StoreUnavailable(f"an object of {where} was damaged on the way here: {exc}")
    if isinstance(exc, (boto.SSLError, boto.ProxyConnectionError)):
        return StoreUnavailable(
            f"no secure connection to {where}: {exc}. Check the endpoint_url, the certificates "
            f"(AWS_CA_BUNDLE) and the proxy"
        )
    if isinstance(exc, (boto.EndpointConnectionError, boto.ConnectTimeoutError)):
        return StoreUnavailable(
            f"{where} cannot be reached: {exc}. Check the endpoint_url, the region and the network"
        )
    return StoreUnavailable(f"{where} did not answer, or not in full: {exc}")


def _said(exc: boto.ClientError) -> str:
    """The code and the sentence of an answer."""
    code, sentence = code_of(exc), str(_error(exc).get("Message", "")).strip().rstrip(".")
    return f"{code} ({sentence[:300]})" if sentence else code


def _error(exc: BaseException) -> dict[str, str]:
    found: dict[str, str] = _response(exc).get("Error", {})
    return found


def _metadata(exc: BaseException) -> dict[str, Any]:
    found: dict[str, Any] = _response(exc).get("ResponseMetadata", {})
    return found


def _headers(exc: BaseException) -> dict[str, str]:
    found: dict[str, str] = _metadata(exc).get("HTTPHeaders", {})
    return found


def _response(exc: BaseException) -> dict[str, Any]:
    """What S3 answered; empty where it did not."""
    found: dict[str, Any] = exc.response if isinstance(exc, boto.ClientError) else {}
    return found
