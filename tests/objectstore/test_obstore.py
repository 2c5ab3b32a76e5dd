"""The drivers through obstore, blocking and asynchronous, pass the contract on real servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import cast

import pytest

from checkpoint_objectstore.objects import Objects
from tests.objectstore.objects_contract import ObjectsContract
from tests.objectstore.transports import Bucket, InALoop
from tests.servers import S3Server


@pytest.fixture(scope="module")
def on_ministack(ministack: S3Server) -> Bucket:
    return Bucket(ministack)


@pytest.fixture(scope="module")
def on_seaweedfs(seaweedfs: S3Server) -> Bucket:
    return Bucket(seaweedfs)


class Blocking(ObjectsContract):
    """The contract in a new prefix of a bucket."""

    @pytest.fixture
    def objects(self, bucket: Bucket) -> Iterator[Objects]:
        objects = bucket.blocking(f"some/{os.urandom(8).hex()}")
        yield objects
        objects.close()

    def paging(self, objects: Objects, size: int) -> None:
        within = objects.objects if isinstance(objects, InALoop) else objects
        within._page = size  # type: ignore[union-attr]


class Asynchronous(Blocking):
    """The same, in an event loop."""

    @pytest.fixture
    def objects(self, bucket: Bucket) -> Iterator[Objects]:
        objects = InALoop(bucket.asynchronous(f"some/{os.urandom(8).hex()}"))
        yield cast("Objects", objects)
        objects.close()


class OnMinistack:
    """Conditions are atomic, and quick."""

    @pytest.fixture
    def bucket(self, on_ministack: Bucket) -> Bucket:
        return on_ministack


class OnSeaweedfs:
    """A real server, slow where several write one object."""

    rounds = 1
    many = 30
    keeps_folders = True  # those of its file system, until it tidies up

    @pytest.fixture
    def bucket(self, on_seaweedfs: Bucket) -> Bucket:
        return on_seaweedfs


@pytest.mark.slow
class TestMinistack(OnMinistack, Blocking):
    """Blocking."""


class TestMinistackAsync(OnMinistack, Asynchronous):
    """Asynchronous."""


@pytest.mark.slow
class TestSeaweedfs(OnSeaweedfs, Blocking):
    """Blocking."""


@pytest.mark.slow
class TestSeaweedfsAsync(OnSeaweedfs, Asynchronous):
    """Asynchronous."""
