"""The proxy itself: what it passes on is whole, and what it does is what it is told."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from checkpoint_objectstore.s3 import S3Objects
from tests.proxy import DUPLICATE, LOSE_REPLY, LOSE_REQUEST, RESET, Fault, Proxy, Request, answer
from tests.servers import S3Server


@pytest.fixture
def proxy(ministack: S3Server) -> Iterator[Proxy]:
    with Proxy(ministack.endpoint_url) as proxy:
        yield proxy


def test_signatures_stay_valid(seaweedfs: S3Server) -> None:
    with Proxy(seaweedfs.endpoint_url) as proxy:
        objects = S3Objects(seaweedfs.new_bucket(), "p", client=seaweedfs.client(proxy.url))
        objects.put_many({f"n!/{n}": b"%d" % n for n in range(20)})
        assert len(objects.list("n!/")) == 20
        assert objects.get_many(["n!/3"], first=1) == {"n!/3": b"3"}
        objects.delete(["n!/3", "n!/4"])
        assert proxy.calls()["PUT p/n!/3"] == 1
        assert (proxy.count("PUT"), proxy.count("GET"), proxy.count("POST")) == (20, 2, 1)


def test_a_connection_is_kept_alive(ministack: S3Server, proxy: Proxy) -> None:
    bucket = ministack.new_bucket()
    parts = urlsplit(proxy.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    for n in range(3):
        connection.request("PUT", f"/{bucket}/k{n}", body=b"x" * n)
        assert connection.getresponse().read() == b""
        socket = connection.sock
        connection.request("GET", f"/{bucket}/k{n}")
        assert connection.getresponse().read() == b"x" * n
        connection.request("HEAD", f"/{bucket}/k{n}")
        assert connection.getresponse().read() == b""
        assert connection.sock is socket
    connection.close()


@pytest.mark.parametrize(
    ("fault", "done", "closed"),
    [
        (Fault(), True, False),
        (LOSE_REQUEST, False, True),
        (RESET, False, True),
        (LOSE_REPLY, True, True),
        (DUPLICATE, True, False),
        (Fault(delay=0.01), True, False),
        (answer(500, "InternalError"), False, False),
        (answer(500, "InternalError", after=True), True, False),
    ],
)
def test_each_fault_does_what_it_says(
    ministack: S3Server, proxy: Proxy, fault: Fault, done: bool, closed: bool
) -> None:
    client = ministack.client()
    bucket = ministack.new_bucket()
    proxy.decide = lambda request: fault
    parts = urlsplit(proxy.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    connection.request("PUT", f"/{bucket}/k", body=b"x")
    try:
        status = connection.getresponse().status
    except ConnectionError:  # http.client's own RemoteDisconnected is one
        status = 0
    connection.close()
    assert (status == 0) is closed
    if fault.answer is not None:
        assert status == 500
    assert ("Contents" in client.list_objects_v2(Bucket=bucket)) is done
    client.close()


def test_a_request_tells_what_it_is(ministack: S3Server, proxy: Proxy) -> None:
    seen: list[Request] = []

    def decide(request: Request) -> None:
        seen.append(request)

    proxy.decide = decide
    objects = S3Objects(ministack.new_bucket(), client=ministack.client(proxy.url))
    objects.create("n-2d!/=41!", b"1")
    objects.create("n-2d!/=41!", b"1")
    objects.list("n", after="n")
    assert [(r.method, r.key, r.attempt) for r in seen] == [
        ("PUT", "n-2d!/=41!", 1),
        ("PUT", "n-2d!/=41!", 2),
        ("GET", "", 1),
    ]
    assert seen[0].headers["if-none-match"] == "*"
    assert seen[2].query["start-after"] == "n"
    assert seen == proxy.requests
