"""A client of obstore, made by the first call; its threads serve one process only."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from checkpoint.errors import InvalidOption, StoreDenied, StoreError, UnknownStore
from checkpoint_objectstore._s3_settings import DEFAULT_TIMEOUT, Settings, checked_settings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

try:
    from obstore.store import S3Store
except ImportError as exc:
    raise UnknownStore(
        "?transport=obstore needs obstore, which is not installed: "
        "pip install 'agent-checkpoint[obstore]'"
    ) from exc

_CONNECT = 3.0  # seconds; a server that does not take a connection by then is down
_REGION = re.compile(r"[A-Za-z0-9-]+")
_IN_HOSTS = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_STEP = 20  # a megabyte, as a power of two

NO_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with a role of EC2, ECS or EKS. "
    "obstore does not read AWS's shared files (profiles, SSO): for those, leave transport=obstore "
    "out, or pass ObstoreObjects a credential_provider"
)
_SOURCES = (  # of what obstore finds by itself
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)

_process: int | None = None  # whose threads run obstore


class Clients:
    """The client of obstore for a bucket. It sends each request once: the driver tries again.

    Args:
        bucket: its name.
        settings: how to reach it.
        kms_key_id: a KMS key that objects are encrypted with.
        credential_provider: a function that gives credentials, as obstore takes it.

    Raises:
        InvalidOption: obstore cannot do that.
    """

    def __init__(
        self,
        bucket: str,
        settings: Settings,
        kms_key_id: str | None,
        credential_provider: Callable[[], Any] | None,
    ) -> None:
        if settings.profile is not None:
            raise InvalidOption(
                "obstore does not read AWS's shared files, so it knows no profile; leave "
                "transport=obstore out, or pass ObstoreObjects a credential_provider, such as "
                "obstore.auth.boto3.Boto3CredentialProvider(boto3.Session(profile_name=…))"
            )
        if bucket.startswith("arn:"):
            raise InvalidOption(
                "obstore takes no ARN of an access point; use its alias, or leave "
                "transport=obstore out"
            )
        if settings.region is not None and not _REGION.fullmatch(settings.region):
            raise InvalidOption(f"{settings.region!r:.80} is no region (bucket {bucket!r})")
        if credential_provider is not None and not callable(credential_provider):
            raise InvalidOption("credential_provider= takes a function, as obstore does")
        self._bucket = bucket
        self._settings = settings
        self._provider = credential_provider
        self._sealing: S3Config = {}
        if kms_key_id is not None:
            self._sealing = {"server_side_encryption": "aws:kms", "sse_kms_key_id": kms_key_id}
        self._lock = Lock()
        self._made: dict[int, S3Store] = {}

    def client(self, size: int = 0) -> S3Store:
        """The client for a request with a body of ``size`` bytes.

        reqwest's timeout for an answer runs while the body is sent, too, so those of more than a
        megabyte go through a client with more patience.

        Raises:
            StoreDenied: there are no credentials.
            StoreError: the process was forked from one in which obstore's threads run.
        """
        global _process  # noqa: PLW0603 - as are those threads
        pid = os.getpid()
        if _process != pid:
            if _process is not None:
                raise StoreError(
                    "this process was forked from one that had used obstore, whose threads did "
                    "not come along: nothing was sent. Open the store in the child and use it "
                    "only there, start processes by 'spawn', or leave transport=obstore out"
                )
            _process = pid
        step = (size >> _STEP).bit_length()
        found = self._made.get(step)
        if found is None:
            with self._lock:
                found = self._made.get(step) or self._made.setdefault(step, self._new(step))
        return found

    def close(self) -> None:
        """Let the connections go."""
        self._made.clear()

    def _new(self, step: int) -> S3Store:
        settings = self._settings
        timeout = DEFAULT_TIMEOUT if settings.timeout is None else settings.timeout
        self._check_credentials()
        options: ClientConfig = {
            "connect_timeout": timedelta(seconds=min(timeout, _CONNECT)),
            "read_timeout": timedelta(seconds=min(timeout * 2**step, 1e6)),
            "timeout": timedelta(days=30),  # of the whole; its default would end long downloads
            "user_agent": "agent-checkpoint",
        }
        # What is given here goes before the environment, which could switch conditions off.
        config: S3Config = {"bucket": self._bucket, "conditional_put": "etag", **self._sealing}
        if settings.region is not None:
            config["region"] = settings.region
        endpoint, path_style = self._endpoint()
        if endpoint is not None:
            config["aws_endpoint_url_s3"] = endpoint
            options["allow_http"] = endpoint.startswith("http:")
        config["virtual_hosted_style_request"] = not path_style
        return S3Store(
            config=config,
            client_options=options,
            retry_config={"max_retries": 0},
            credential_provider=self._provider,
        )

    def _endpoint(self) -> tuple[str | None, bool]:
        """Where to send requests, None for AWS; and whether they name the bucket in their path."""
        given = self._settings.endpoint_url
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
            given = given or os.environ.get(name)
        path_style = self._settings.path_style
        if path_style is None:
            path_style = given is not None or not _IN_HOSTS.fullmatch(self._bucket)
        if given is None:
            return None, path_style
        endpoint = str(checked_settings(Settings(given)).endpoint_url).rstrip("/")
        if not path_style:  # obstore leaves it to us to name the bucket
            parts = urlsplit(endpoint)
            endpoint = parts._replace(netloc=f"{self._bucket}.{parts.netloc}").geturl()
        return endpoint, path_style

    def _check_credentials(self) -> None:
        """Refuse where only EC2's metadata is left to ask, and that is switched off."""
        disabled = os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
        if disabled and self._provider is None and not any(map(os.environ.get, _SOURCES)):
            raise StoreDenied(
                f"there are no usable credentials for the bucket {self._bucket!r}. {NO_CREDENTIALS}"
            )
