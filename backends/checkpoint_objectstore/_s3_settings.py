"""The settings of S3: what an ``s3://`` URL may say, and what a driver may be given."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from checkpoint._stores.registry import redact
from checkpoint.errors import InvalidOption

DEFAULT_TIMEOUT = 10.0
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]", re.ASCII)
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?", re.ASCII)
_ENDPOINT = re.compile(r"https?://[^@?#\s]+")
_LONGEST_PREFIX = 300  # bytes; a key of ours takes up to 700 of the 1,024 that S3 gives

TRANSPORTS = ("boto3", "obstore")
OPTIONS = {
    "endpoint_url": "of a server other than AWS's",
    "kms_key_id": "a KMS key to encrypt with",
    "path_style": "true or false",
    "profile": "of AWS's configuration files",
    "region": "of the bucket",
    "timeout": f"seconds without a byte before a try is given up, {DEFAULT_TIMEOUT:g} by default",
    "transport": "boto3, the default, or obstore",
}


class Settings(NamedTuple):
    """How to reach S3; all but these comes from the environment and AWS's own files.

    Attributes:
        endpoint_url: of a server other than AWS's.
        region: of the bucket.
        profile: a section of AWS's configuration files.
        path_style: the bucket is named in the path, not in the host; None: whatever fits.
        timeout: seconds without a byte before a try is given up.
    """

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    path_style: bool | None = None
    timeout: float | None = None


def parsed(url: str) -> tuple[str, dict[str, Any]]:
    """The transport of an S3 URL, and the arguments of its driver.

    Example:
        >>> parsed("s3://agents/prod?timeout=5")
        ('boto3', {'bucket': 'agents', 'prefix': 'prod', 'timeout': 5.0})
    """
    location, _, query = url.partition("?")
    bucket, _, prefix = location.partition("://")[2].partition("/")
    given: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    if "@" in bucket:
        raise InvalidOption(
            f"{redact(url)!r}: credentials do not belong in a URL; set AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY, or name a ?profile="
        )
    if not _BUCKET.fullmatch(bucket):
        raise InvalidOption(
            f"{redact(url)!r} names no bucket; write s3://bucket or s3://bucket/prefix"
        )
    unknown = sorted(given.keys() - OPTIONS)
    empty = sorted(name for name, value in given.items() if not value)
    if unknown or empty:
        told = "; ".join(f"{name} ({meaning})" for name, meaning in OPTIONS.items())
        wrong = f"no parameter {unknown[0]!r:.40}" if unknown else f"an empty {empty[0]!r:.40}"
        raise InvalidOption(f"{redact(url)!r}: an S3 URL has {wrong}; it takes {told}")
    transport = given.pop("transport", TRANSPORTS[0])
    if transport not in TRANSPORTS:
        raise InvalidOption(f"{redact(url)!r}: transport is {' or '.join(TRANSPORTS)}")
    if (style := given.get("path_style")) is not None:
        if style not in ("true", "false"):
            raise InvalidOption(f"{redact(url)!r}: path_style is true or false")
        given["path_style"] = style == "true"
    if (timeout := given.get("timeout")) is not None:
        if not _SECONDS.fullmatch(timeout):
            raise InvalidOption(f"{redact(url)!r}: timeout is a number of seconds")
        given["timeout"] = float(timeout)
    return transport, {"bucket": bucket, "prefix": unquote(prefix), **given}


def checked_bucket(bucket: str) -> str:
    """The name of a bucket, or the ARN of an access point, if it can be one."""
    if not _BUCKET.fullmatch(bucket) and not bucket.startswith("arn:"):
        raise InvalidOption(f"{bucket!r:.80} is no name of a bucket")
    return bucket


def root_of(prefix: str) -> str:
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


def checked_settings(settings: Settings) -> Settings:
    """Settings, if they have a meaning."""
    endpoint, timeout = settings.endpoint_url, settings.timeout
    if endpoint is not None and not _ENDPOINT.fullmatch(endpoint):
        raise InvalidOption(
            f"an endpoint_url is http(s)://host:port, without credentials, not "
            f"{redact(endpoint)!r:.200}"
        )
    if timeout is not None and not 0 < timeout < 1e6:
        raise InvalidOption(f"timeout is a number of seconds above 0, not {timeout!r:.40}")
    return settings
