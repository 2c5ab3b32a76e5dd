"""What obstore raises, in the words of this library.

Its exceptions do not tell a lost race from a conflict, nor a missing bucket from a missing object;
their texts do. A text that is not understood is an outage: never an absence, never a refusal.
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
from checkpoint_objectstore._s3_answers import Answer, told, undeleted

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
    """An object that a request for many did not delete."""

    path: str
    code: str
    message: str


def is_failure(exc: BaseException) -> bool:
    """Whether it is obstore that raised this. Where Rust panics, that is no Exception."""
    if isinstance(exc, CheckpointError):
        return False
    return isinstance(exc, _FAILURES) or type(exc).__name__ == "PanicException"


def answer_of(exc: BaseException, bucket: str) -> Answer | None:
    """What the server answered, if this is about an answer to a request to the bucket."""
    said, _ = _texts(exc)
    request = _REQUEST.search(said)
    if request is None or not _is_to(request[1], bucket):
        return None
    if "redirect without LOCATION" in said[request.end() :]:
        return Answer(301, "PermanentRedirect")
    answer = _STATUS.match(said, request.end()) or _IN_A_SUCCESS.match(said, request.end())
    if answer is None:
        return None
    status = answer[1] if answer.re is _STATUS else "500"
    fields = {name: unescape(value) for name, value in _FIELD.findall(answer[2])}
    code = fields.get("Code") or status
    return Answer(int(status), code, fields.get("Message", ""), fields.get("Region"))


def undeleted_of(exc: BaseException) -> Undeleted | None:
    """Which object was not deleted, and why, if this is about that."""
    found = _UNDELETED.search(_texts(exc)[0])
    return Undeleted(found[1], found[3], found[2]) if found else None


def translated(exc: BaseException, bucket: str, *, guarded: bool = False) -> CheckpointError:
    """A failed call in the words of this library.

    Args:
        bucket: its name, for people.
        guarded: it was a write with a condition.
    """
    if (answer := answer_of(exc, bucket)) is not None:
        return told(answer, bucket, guarded=guarded)
    if (gone := undeleted_of(exc)) is not None:
        return undeleted({"Key": gone.path, "Code": gone.code, "Message": gone.message}, bucket)
    where = f"the bucket {bucket!r}"
    said, details = _texts(exc)
    request = _REQUEST.search(said)
    elsewhere = request is not None and not _is_to(request[1], bucket)
    if elsewhere or isinstance(exc, obs.UnauthenticatedError) or "Missing SecretAcc" in said:
        return StoreDenied(f"there are no usable credentials for {where}: {said}. {NO_CREDENTIALS}")
    if isinstance(exc, obs.InvalidPathError):
        return StoreError(f"{where} holds an object whose key obstore cannot tell: {said}")
    if isinstance(exc, (obs.UnknownConfigurationKeyError, ValueError, NotImplementedError)):
        return InvalidOption(f"{where} cannot be used as configured: {said}")
    reasons = [quoted or word for quoted, word in _REASON.findall(details)]
    why = f" ({', '.join(reasons[1:])})" if len(reasons) > 1 else ""
    if "kind: Connect" in details:
        return StoreUnavailable(
            f"{where} cannot be reached: {said}{why}. Check the endpoint_url, the region and the "
            f"network"
        )
    return StoreUnavailable(f"{where} did not answer, or not in full: {said}{why}")


def _texts(exc: BaseException) -> tuple[str, str]:
    """What obstore says to people, and the structure of Rust below it."""
    said, _, details = str(exc).partition("\n\nDebug source:\n")
    return said.removeprefix("Generic S3 error: ").strip(), details


def _is_to(url: str, bucket: str) -> bool:
    """Whether a request went to the bucket, and not to where credentials are found."""
    name = re.escape(bucket)
    return re.search(rf"//{name}\.|[^/]/{name}(?:[/?]|$)", url) is not None
