"""The obstore client: created by the first call, and bound to one process by its threads."""

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

_CONNECT = 3.0  # seconds to wait for a connection
_REGION = re.compile(r"[A-Za-z0-9-]+")
_IN_HOSTS = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_STEP = 20  # a megabyte, as a power of two

NO_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with a role of EC2, ECS or EKS. "
    "obstore does not read AWS's shared files (profiles, SSO): for those, leave out "
    "transport=obstore, or pass a credential_provider to ObstoreObjects"
)
_SOURCES = (  # variables in which obstore finds credentials
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)

_process: int | None = None  # the process that runs obstore's threads


class Clients:
    """obstore clients for a bucket. They send each request once; the driver retries.

    Args:
        bucket: its name.
        settings: how to reach it.
        kms_key_id: a KMS key that encrypts the objects.
        credential_provider: a function that returns credentials, as obstore takes it.

    Raises:
        InvalidOption: obstore does not support an argument.
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
                "obstore does not support profiles, since it does not read AWS's shared files; "
                "leave out transport=obstore, or pass a credential_provider to ObstoreObjects, "
                "such as "
                "obstore.auth.boto3.Boto3CredentialProvider(boto3.Session(profile_name=…))"
            )
        if bucket.startswith("arn:"):
            raise InvalidOption(
                "obstore does not support the ARN of an access point; use its alias, or leave out "
                "transport=obstore"
            )
        if settings.region is not None and not _REGION.fullmatch(settings.region):
            raise InvalidOption(f"{settings.region!r:.80} is not a region (bucket {bucket!r})")
        if credential_provider is not None and not callable(credential_provider):
            raise InvalidOption("credential_provider= must be a function, as for obstore")
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

        reqwest's timeout for the answer also covers sending the body, so larger bodies use a client
        with a longer timeout.

        Raises:
            StoreDenied: there are no credentials.
            StoreError: the process was forked from one that runs obstore's threads.
        """
        global _process  # noqa: PLW0603 - those threads are global, too
        pid = os.getpid()
        if _process != pid:
            if _process is not None:
                raise StoreError(
                    "this process was forked from one that had used obstore, whose threads do not "
                    "survive a fork; nothing was sent. Use the store only in the child, start "
                    "processes by 'spawn', or leave out transport=obstore"
                )
            _process = pid
        step = (size >> _STEP).bit_length()
        found = self._made.get(step)
        if found is None:
            with self._lock:
                found = self._made.get(step) or self._made.setdefault(step, self._new(step))
        return found

    def close(self) -> None:
        """Release the connections."""
        self._made.clear()

    def _new(self, step: int) -> S3Store:
        settings = self._settings
        timeout = DEFAULT_TIMEOUT if settings.timeout is None else settings.timeout
        self._check_credentials()
        options: ClientConfig = {
            "connect_timeout": timedelta(seconds=min(timeout, _CONNECT)),
            "read_timeout": timedelta(seconds=min(timeout * 2**step, 1e6)),
            "timeout": timedelta(days=30),  # in total; the default would end long downloads
            "user_agent": "agent-checkpoint",
        }
        # Set explicitly, because the environment could switch conditional writes off.
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
        """The endpoint, None for AWS; and whether the path of requests names the bucket."""
        given = self._settings.endpoint_url
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
            given = given or os.environ.get(name)
        path_style = self._settings.path_style
        if path_style is None:
            path_style = given is not None or not _IN_HOSTS.fullmatch(self._bucket)
        if given is None:
            return None, path_style
        endpoint = str(checked_settings(Settings(given)).endpoint_url).rstrip("/")
        if not path_style:  # obstore does not add the bucket to a custom endpoint
            parts = urlsplit(endpoint)
            endpoint = parts._replace(netloc=f"{self._bucket}.{parts.netloc}").geturl()
        return endpoint, path_style

    def _check_credentials(self) -> None:
        """Fail early if EC2 metadata is the only source of credentials left, but disabled."""
        disabled = os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
        if disabled and self._provider is None and not any(map(os.environ.get, _SOURCES)):
            raise StoreDenied(
                f"there are no usable credentials for the bucket {self._bucket!r}. {NO_CREDENTIALS}"
            )
