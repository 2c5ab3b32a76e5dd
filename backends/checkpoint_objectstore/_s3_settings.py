"""Parses ``s3://`` URLs and validates the settings of S3 drivers."""

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
_LONGEST_PREFIX = 300  # bytes; our keys take up to 700 of the 1,024 that S3 allows

TRANSPORTS = ("boto3", "obstore")
OPTIONS = {
    "endpoint_url": "of a server other than AWS's",
    "kms_key_id": "a KMS key to encrypt with",
    "path_style": "true or false",
    "profile": "of AWS's configuration files",
    "region": "of the bucket",
    "timeout": f"seconds without a byte before a try fails, {DEFAULT_TIMEOUT:g} by default",
    "transport": "boto3, the default, or obstore",
}


class Settings(NamedTuple):
    """How to reach S3; other settings come from the environment and AWS's configuration files.

    Attributes:
        endpoint_url: of a server other than AWS's.
        region: of the bucket.
        profile: a section of AWS's configuration files.
        path_style: whether the path names the bucket, not the host; None to choose automatically.
        timeout: seconds without a byte before a try fails.
    """

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    path_style: bool | None = None
    timeout: float | None = None


def parsed(url: str) -> tuple[str, dict[str, Any]]:
    """Parse an S3 URL into its transport and the arguments of the driver.

    Example:
        >>> parsed("s3://agents/prod?timeout=5")
        ('boto3', {'bucket': 'agents', 'prefix': 'prod', 'timeout': 5.0})
    """
    location, _, query = url.partition("?")
    bucket, _, prefix = location.partition("://")[2].partition("/")
    given: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    if "@" in bucket:
        raise InvalidOption(
            f"{redact(url)!r} contains credentials; set AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY instead, or add ?profile="
        )
    if not _BUCKET.fullmatch(bucket):
        raise InvalidOption(
            f"{redact(url)!r} has no valid bucket name; write s3://bucket or s3://bucket/prefix"
        )
    unknown = sorted(given.keys() - OPTIONS)
    empty = sorted(name for name, value in given.items() if not value)
    if unknown or empty:
        known = "; ".join(f"{name} ({meaning})" for name, meaning in OPTIONS.items())
        kind, name = ("unknown", unknown[0]) if unknown else ("empty", empty[0])
        raise InvalidOption(f"{redact(url)!r}: {kind} parameter {name!r:.40}; S3 URLs take {known}")
    transport = given.pop("transport", TRANSPORTS[0])
    if transport not in TRANSPORTS:
        raise InvalidOption(f"{redact(url)!r}: transport must be {' or '.join(TRANSPORTS)}")
    if (style := given.get("path_style")) is not None:
        if style not in ("true", "false"):
            raise InvalidOption(f"{redact(url)!r}: path_style must be true or false")
        given["path_style"] = style == "true"
    if (timeout := given.get("timeout")) is not None:
        if not _SECONDS.fullmatch(timeout):
            raise InvalidOption(f"{redact(url)!r}: timeout must be a number of seconds")
        given["timeout"] = float(timeout)
    return transport, {"bucket": bucket, "prefix": unquote(prefix), **given}


def checked_bucket(bucket: str) -> str:
    """The name of a bucket or the ARN of an access point, if it is valid."""
    if not _BUCKET.fullmatch(bucket) and not bucket.startswith("arn:"):
        raise InvalidOption(f"{bucket!r:.80} is not a valid bucket name")
    return bucket


def root_of(prefix: str) -> str:
    """The prefix of all keys, with a final ``/``."""
    prefix = prefix.strip("/")
    # HTTP clients resolve these parts, which would change the key after it was signed.
    if any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
        raise InvalidOption(f"the prefix {prefix!r:.80} has an empty part, '.' or '..'; remove it")
    if not prefix.isprintable() or len(prefix.encode("utf-8", "replace")) > _LONGEST_PREFIX:
        raise InvalidOption(
            f"the prefix {prefix!r:.80} is not valid; use up to {_LONGEST_PREFIX} bytes without "
            f"control characters"
        )
    return prefix + "/" if prefix else ""


def checked_settings(settings: Settings) -> Settings:
    """The settings, if they are valid."""
    endpoint, timeout = settings.endpoint_url, settings.timeout
    if endpoint is not None and not _ENDPOINT.fullmatch(endpoint):
        raise InvalidOption(
            f"endpoint_url must be http(s)://host:port, without credentials, not "
            f"{redact(endpoint)!r:.200}"
        )
    if timeout is not None and not 0 < timeout < 1e6:
        raise InvalidOption(f"timeout must be a number of seconds above 0, not {timeout!r:.40}")
    return settings
