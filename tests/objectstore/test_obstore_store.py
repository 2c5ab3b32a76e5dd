"""The store through obstore passes the suite that every store must pass, in both forms."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from checkpoint.testing import AsyncStoreSuite, StoreSuite
from checkpoint_objectstore._async.store import AsyncObjectStore
from checkpoint_objectstore._sync.store import ObjectStore
from tests.objectstore.transports import Bucket
from tests.servers import S3Server


def _prefix_of(place: Path) -> str:
    return blake2b(bytes(place), digest_size=12).hexdigest()


class OnMinistack:
    """What is the same in both forms."""

    keeps_times = False  # S3 has a clock of its own
    examples = 2
    bucket: Bucket
    client: Any

    @pytest.fixture(autouse=True)
    def _bucket(self, bucket: Bucket, client: Any) -> None:
        type(self).bucket = bucket
        type(self).client = client

    def raw(self, place: Path) -> Iterable[bytes]:
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket.name, Prefix=_prefix_of(place) + "/"):
            for item in page.get("Contents", ()):
                found = self.client.get_object(Bucket=self.bucket.name, Key=item["Key"])
                yield found["Body"].read()


@pytest.fixture(scope="module")
def bucket(ministack: S3Server) -> Bucket:
    return Bucket(ministack)


@pytest.fixture(scope="module")
def client(ministack: S3Server) -> Any:
    return ministack.client()


@pytest.mark.slow
class TestObstore(OnMinistack, StoreSuite):
    def open(self, place: Path) -> ObjectStore:
        return ObjectStore(self.bucket.blocking(_prefix_of(place)))


@pytest.mark.slow
class TestAsyncObstore(OnMinistack, AsyncStoreSuite):
    async def open(self, place: Path) -> AsyncObjectStore:
        return AsyncObjectStore(self.bucket.asynchronous(_prefix_of(place)))
