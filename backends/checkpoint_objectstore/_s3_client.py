"""The botocore client and the worker threads: created once in each process, by the first call."""

from __future__ import annotations

import functools
import os
from threading import Lock
from typing import Any

from checkpoint.errors import InvalidOption, UnknownStore
from checkpoint_objectstore._s3_settings import DEFAULT_TIMEOUT, Settings
from checkpoint_objectstore._workers import Workers

THREADS = 16
_CONNECTIONS = 2 * THREADS  # for the workers and for the calling threads
_TRIES = 3
_CONNECT = 3.0  # seconds to wait for a connection

try:
    # Not boto3: its client is the same, but importing it takes half as long again.
    import botocore.session
except ImportError as exc:
    raise UnknownStore(
        "stores in S3 need boto3, which is not installed: pip install 'agent-checkpoint[s3]'"
    ) from exc


class Clients:
    """The client of the current process, and threads for concurrent requests.

    Safe to share between threads, and with a forked child, which gets its own client: two processes
    that read from one connection would get each other's answers.

    Args:
        settings: how to reach S3.
        session: a session of boto3 or botocore, for its credentials.
        client: a client to use unchanged. A forked child closes the connections it inherits.
    """

    def __init__(self, settings: Settings, session: Any = None, client: Any = None) -> None:
        self._settings = settings
        self._session = session
        self._given = client
        self._home = os.getpid()
        # By process: a child must not use locks and threads that its parent had at the fork.
        self._processes: dict[int, _Process] = {}

    def client(self) -> Any:
        """The client of this process."""
        process = self._process()
        if process.client is None:
            with process.lock:
                if process.client is None:
                    process.client = self._given_here() or self._new_client()
        return process.client

    def workers(self) -> Workers:
        """The threads of this process."""
        process = self._process()
        if process.workers is None:
            client = self.client()
            with process.lock:
                if process.workers is None:
                    process.workers = Workers(min(THREADS, client.meta.config.max_pool_connections))
        return process.workers

    def close(self) -> None:
        """Close the connections of this process, unless the client was given."""
        process = self._process()
        if process.workers is not None:
            process.workers.close()
        if process.client is not None and self._given is None:
            process.client.close()

    def _process(self) -> _Process:
        pid = os.getpid()
        found = self._processes.get(pid)
        return found if found is not None else self._processes.setdefault(pid, _Process())

    def _given_here(self) -> Any:
        if self._given is not None and os.getpid() != self._home:
            self._given.close()  # it reconnects on the next request
        return self._given

    def _new_client(self) -> Any:
        from botocore.config import Config

        settings = self._settings
        timeout = DEFAULT_TIMEOUT if settings.timeout is None else settings.timeout
        options: dict[str, Any] = {
            "connect_timeout": min(timeout, _CONNECT),
            "read_timeout": timeout,
            "retries": {"mode": "standard", "total_max_attempts": _TRIES},
            "max_pool_connections": _CONNECTIONS,
            "user_agent_extra": "agent-checkpoint",
        }
        if settings.path_style is not None:
            style = "path" if settings.path_style else "virtual"
            options["s3"] = {"addressing_style": style}
        session = self._session or _new_session(settings.profile)
        # boto3's session wraps botocore's and names this method differently.
        create = getattr(session, "client", None) or session.create_client
        return create(
            "s3",
            region_name=settings.region,
            endpoint_url=settings.endpoint_url,
            config=Config(**options),
        )


def warm() -> None:
    """Load the data that every client needs, without looking for credentials.

    Raises:
        BotoCoreError: AWS's configuration files or variables cannot be used.
    """
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    _new_session(None).create_client("s3", region_name="us-east-1", **keys).close()


def _new_session(profile: str | None) -> Any:
    session = botocore.session.Session(profile=profile)
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@functools.cache
def _loader(data_path: str | None) -> Any:
    """The loader of botocore's service descriptions, which take most of the time of a first client.

    Shared, so that later clients are created in a fraction of this time; it holds no credentials.
    """
    from botocore.loaders import create_loader

    return create_loader(data_path)


class _Process:
    """The client and the threads of one process."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.client: Any = None
        self.workers: Workers | None = None


def checked(client: Any, session: Any, settings: Settings) -> Clients:
    """Create the clients, after checking the arguments.

    Raises:
        InvalidOption: an argument is invalid, or two of them conflict.
    """
    if client is not None:
        if session is not None or settings != Settings():
            raise InvalidOption(
                "client= cannot be combined with a session, endpoint, region, profile, path style "
                "or timeout; configure the client instead"
            )
        if not hasattr(client, "put_object") or not hasattr(client, "meta"):
            raise InvalidOption(
                f"client= takes a client of boto3, such as boto3.client('s3'), not "
                f"{type(client).__name__}"
            )
    if session is not None:
        if settings.profile is not None:
            raise InvalidOption("session= cannot be combined with a profile; set it in the session")
        if not hasattr(session, "client") and not hasattr(session, "create_client"):
            raise InvalidOption(
                f"session= takes a session of boto3 or botocore, not {type(session).__name__}"
            )
    return Clients(settings, session, client)
