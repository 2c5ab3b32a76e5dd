"""A server of S3 for the benchmarks: ministack, from the packages for tests, on this machine."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path.append(str(Path(__file__).parents[1]))  # the servers and the proxy are those of the tests

from tests.servers import REGION, S3_ENVIRONMENT, await_answer, free_port, start, stop

__all__ = ["REGION", "Served", "served"]


class Served:
    """A server that is up.

    Attributes:
        endpoint: its URL.
        environment: the credentials that it takes.
    """

    environment = S3_ENVIRONMENT

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def client(self, endpoint: str | None = None) -> Any:
        """A client of boto3 as it comes, by another way to the server if one is given."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=endpoint or self.endpoint,
            region_name=REGION,
            aws_access_key_id=S3_ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        )

    def new_bucket(self) -> str:
        """The name of a new bucket."""
        name = f"benchmark-{uuid4().hex}"
        self.client().create_bucket(Bucket=name)
        return name


@contextmanager
def served() -> Iterator[Served]:
    """Run a server meanwhile."""
    port = free_port()
    server = Served(f"http://127.0.0.1:{port}")
    settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "s3"}
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        with log.open("wb") as output:
            environment = {**os.environ, **settings, "LOG_LEVEL": "ERROR"}
            process = start([sys.executable, "-m", "ministack"], env=environment, output=output)
        try:
            await_answer(server.new_bucket, process, log)
            yield server
        finally:
            stop(process)
