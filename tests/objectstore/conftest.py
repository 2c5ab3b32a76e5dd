"""Servers of S3, and objects in a bucket of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import ministack, moto, s3_environment, seaweedfs

__all__ = ["ministack", "moto", "s3_environment", "seaweedfs"]


@pytest.fixture(scope="session", autouse=True)
def _models_read_once() -> Iterator[None]:
    """botocore reads its descriptions of S3 once, and not for each of hundreds of clients."""
    from botocore import loaders, session

    loader = loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "create_loader", lambda paths: loader)
        yield
