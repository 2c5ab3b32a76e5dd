"""Translates errors of botocore to errors of this library."""

from __future__ import annotations

from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from checkpoint.errors import CheckpointError, InvalidOption, StoreDenied, StoreUnavailable
from checkpoint_objectstore._s3_answers import Answer, error_of, sent_twice

FAILURES = (
    boto.BotoCoreError,
    boto.ClientError,
    ResponseParserError,
    HTTPError,  # from reading the body of an answer
    OSError,
    ValueError,  # the endpoint is not a URL
    RuntimeError,  # refreshed credentials are no newer
)
"""All exceptions of a failed botocore call."""

_NO_CREDENTIALS = (boto.NoCredentialsError, boto.PartialCredentialsError)
_NOT_REFRESHED = (
    boto.CredentialRetrievalError,
    boto.NoAuthTokenError,
    boto.SSOError,
    boto.TokenRetrievalError,
    RuntimeError,
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
    """The code of an S3 answer, or its status if it has no code; empty for other failures."""
    return str(_error(exc).get("Code", ""))


def status_of(exc: BaseException) -> int:
    """The status of an S3 answer; 0 for other failures."""
    return int(_metadata(exc).get("HTTPStatusCode", 0))


def was_sent_again(exc: BaseException) -> bool:
    """Whether botocore repeated the request, so that an earlier try may have succeeded."""
    return bool(_metadata(exc).get("RetryAttempts", 0))


def translated(
    exc: BaseException, bucket: str, *, writes: bool, guarded: bool = False
) -> CheckpointError:
    """Translate an exception of a failed call.

    Args:
        bucket: its name, for the message.
        writes: whether the call was a write.
        guarded: whether it was a conditional write.
    """
    if isinstance(exc, boto.ClientError):
        region = _error(exc).get("Region") or _headers(exc).get("x-amz-bucket-region")
        message = str(_error(exc).get("Message", ""))
        answer = Answer(status_of(exc), code_of(exc), message, region)
        error = error_of(answer, bucket, guarded=guarded)
        return sent_twice(error) if writes and was_sent_again(exc) else error
    error = _unanswered(exc, f"the bucket {bucket!r}")
    # Credentials may have expired between two tries; botocore does not say whether it sent one.
    return sent_twice(error) if writes and isinstance(exc, _NOT_REFRESHED) else error


def _unanswered(exc: BaseException, where: str) -> CheckpointError:
    if isinstance(exc, (*_NO_CREDENTIALS, *_NOT_REFRESHED)):
        return StoreDenied(
            f"there are no usable credentials for {where}: {exc}. Set AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY, name a ?profile=, or run with a role"
        )
    if isinstance(exc, _MISCONFIGURED) or type(exc) is ValueError:
        return InvalidOption(f"{where} cannot be used as configured: {exc}")
    if isinstance(exc, boto.FlexibleChecksumError):
        return StoreUnavailable(f"an object of {where} was damaged in transit: {exc}. Try again")
    if isinstance(exc, (boto.SSLError, boto.ProxyConnectionError)):
        return StoreUnavailable(
            f"no secure connection to {where}: {exc}. Check the endpoint_url, the certificates "
            f"(AWS_CA_BUNDLE) and the proxy"
        )
    if isinstance(exc, (boto.EndpointConnectionError, boto.ConnectTimeoutError)):
        return StoreUnavailable(
            f"{where} cannot be reached: {exc}. Check the endpoint_url, the region and the network"
        )
    return StoreUnavailable(f"{where} did not answer, or only in part: {exc}")


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
    """The answer of S3; empty for other failures."""
    found: dict[str, Any] = exc.response if isinstance(exc, boto.ClientError) else {}
    return found
