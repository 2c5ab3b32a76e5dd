"""Translates exceptions of obstore to errors of this library.

Their types do not distinguish a lost race from a conflict, or a missing bucket from a missing
object, so this module parses their texts. An unknown text counts as an outage, never as an absence
or a refusal.
"""

from __future__ import annotations

import re
from html import unescape
from typing import NamedTuple

from obstore import exceptions as obs

from checkpoint.errors import (
    CheckpointError,
    InvalidOption,
    StoreDenied,
    StoreError,
    StoreUnavailable,
)
from checkpoint_objectstore._obstore_client import NO_CREDENTIALS
from checkpoint_objectstore._s3_answers import Answer, error_of, undeleted

_REQUEST = re.compile(r"Error performing [A-Z]+ (https?://\S+) in [0-9.]+[a-zµ]+ +- ")
_STATUS = re.compile(r"Server returned non-2xx status code: ([0-9]{3})\b[^:]*:(.*)", re.DOTALL)
_IN_A_SUCCESS = re.compile(r"Server returned (error) response:(.*)", re.DOTALL)
_FIELD = re.compile(r"<(Code|Message|Region)>([^<]*)</")
_UNDELETED = re.compile(
    r"DeleteObjects request failed for key (.*?): (.*) \(code: (\w+)\)", re.DOTALL
)
_REASON = re.compile(r'"([^"\n]+)"|(\bTimedOut\b|\bIncompleteMessage\b)')
_FAILURES = (obs.BaseError, OSError, ValueError, NotImplementedError)


class Undeleted(NamedTuple):
    """An object that a batch deletion did not delete."""

    path: str
    code: str
    message: str


def is_failure(exc: BaseException) -> bool:
    """Whether obstore raised this. A Rust panic is not an ``Exception``."""
    if isinstance(exc, CheckpointError):
        return False
    return isinstance(exc, _FAILURES) or type(exc).__name__ == "PanicException"


def answer_of(exc: BaseException, bucket: str) -> Answer | None:
    """The answer of the bucket's server, if the exception contains one."""
    message, _ = _texts(exc)
    request = _REQUEST.search(message)
    if request is None or not _is_to(request[1], bucket):
        return None
    if "redirect without LOCATION" in message[request.end() :]:
        return Answer(301, "PermanentRedirect")
    end = request.end()
    answer = _STATUS.match(message, end) or _IN_A_SUCCESS.match(message, end)
    if answer is None:
        return None
    status = answer[1] if answer.re is _STATUS else "500"
    fields = {name: unescape(value) for name, value in _FIELD.findall(answer[2])}
    code = fields.get("Code") or status
    return Answer(int(status), code, fields.get("Message", ""), fields.get("Region"))


def undeleted_of(exc: BaseException) -> Undeleted | None:
    """The object that was not deleted, if the exception is about one."""
    found = _UNDELETED.search(_texts(exc)[0])
    return Undeleted(found[1], found[3], found[2]) if found else None


def translated(exc: BaseException, bucket: str, *, guarded: bool = False) -> CheckpointError:
    """Translate an exception of a failed call.

    Args:
        bucket: its name, for the message.
        guarded: whether it was a conditional write.
    """
    if (answer := answer_of(exc, bucket)) is not None:
        return error_of(answer, bucket, guarded=guarded)
    if (gone := undeleted_of(exc)) is not None:
        return undeleted({"Key": gone.path, "Code": gone.code, "Message": gone.message}, bucket)
    where = f"the bucket {bucket!r}"
    message, details = _texts(exc)
    request = _REQUEST.search(message)
    elsewhere = request is not None and not _is_to(request[1], bucket)
    if elsewhere or isinstance(exc, obs.UnauthenticatedError) or "Missing SecretAcc" in message:
        return StoreDenied(
            f"there are no usable credentials for {where}: {message}. {NO_CREDENTIALS}"
        )
    if isinstance(exc, obs.InvalidPathError):
        return StoreError(f"{where} holds an object whose key obstore cannot decode: {message}")
    if isinstance(exc, (obs.UnknownConfigurationKeyError, ValueError, NotImplementedError)):
        return InvalidOption(f"{where} cannot be used as configured: {message}")
    causes = [quoted or word for quoted, word in _REASON.findall(details)]
    reason = f" ({', '.join(causes[1:])})" if len(causes) > 1 else ""
    if "kind: Connect" in details:
        return StoreUnavailable(
            f"{where} cannot be reached: {message}{reason}. Check the endpoint_url, the region and "
            f"the network"
        )
    return StoreUnavailable(f"{where} did not answer, or only in part: {message}{reason}")


def _texts(exc: BaseException) -> tuple[str, str]:
    """The message of an exception, and the debug output of its Rust source."""
    message, _, details = str(exc).partition("\n\nDebug source:\n")
    return message.removeprefix("Generic S3 error: ").strip(), details


def _is_to(url: str, bucket: str) -> bool:
    """Whether a request went to the bucket, and not to a source of credentials."""
    name = re.escape(bucket)
    return re.search(rf"//{name}\.|[^/]/{name}(?:[/?]|$)", url) is not None
