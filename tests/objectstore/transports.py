"""The drivers of S3, each as blocking objects, so that one test holds for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from inspect import iscoroutinefunction
from threading import Thread
from typing import Any, cast

import pytest

from checkpoint_objectstore.objects import AsyncObjects, Objects
from checkpoint_objectstore.obstore import AsyncObstoreObjects, ObstoreObjects
from checkpoint_objectstore.s3 import S3Objects
from tests.servers import ACCESS_KEY, REGION, SECRET_KEY, S3Server


class InALoop:
    """Asynchronous objects whose calls all run in one event loop of its own, which blocks here.

    Calls from several threads run in it at the same time, as the tasks of a server do.
    """

    def __init__(self, objects: AsyncObjects) -> None:
        self.objects = objects
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.objects, name)
        assert iscoroutinefunction(call)

        def run(*arguments: Any, **named: Any) -> Any:
            done = asyncio.run_coroutine_threadsafe(call(*arguments, **named), self._loop)
            return done.result()

        return run

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.objects.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


def in_a_loop(*arguments: Any, **named: Any) -> Objects:
    return cast("Objects", InALoop(AsyncObstoreObjects(*arguments, **named)))


DRIVERS: dict[str, Callable[..., Objects]] = {
    "boto3": S3Objects,
    "obstore": ObstoreObjects,
    "obstore async": in_a_loop,
}


def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """obstore's drivers do not wait before they try again."""
    for module in ("_async", "_sync"):
        monkeypatch.setattr(f"checkpoint_objectstore.{module}.obstore._FIRST_PAUSE", 0)


class Bucket:
    """A new bucket whose objects obstore reaches by one client, made in a tenth of a second."""

    def __init__(self, server: S3Server) -> None:
        self.name = server.new_bucket()
        self._place: dict[str, Any] = {
            "endpoint_url": server.endpoint_url,
            "region": REGION,
            "credential_provider": _credentials,
            "timeout": 60,
        }
        self._clients = ObstoreObjects(self.name, **self._place)._clients
        self._clients.client()

    def blocking(self, prefix: str) -> ObstoreObjects:
        """Objects in this bucket."""
        objects = ObstoreObjects(self.name, prefix, **self._place)
        objects._clients._made = self._clients._made.copy()
        return objects

    def asynchronous(self, prefix: str) -> AsyncObstoreObjects:
        """The same, asynchronous."""
        objects = AsyncObstoreObjects(self.name, prefix, **self._place)
        objects._clients._made = self._clients._made.copy()
        return objects


def _credentials() -> dict[str, object]:
    return {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY, "expires_at": None}
