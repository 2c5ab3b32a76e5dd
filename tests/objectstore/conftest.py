"""Servers of S3, and objects in a bucket of their own."""

from __future__ import annotations

from tests.servers import ministack, moto, s3_environment, seaweedfs

__all__ = ["ministack", "moto", "s3_environment", "seaweedfs"]
