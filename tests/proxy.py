"""A proxy in front of a server of HTTP that counts requests, and does to them what networks do.

    def decide(request: Request) -> Fault | None:
        return LOSE_REPLY if request.method == "PUT" and request.attempt == 1 else None

    with Proxy(server.endpoint_url) as proxy:
        proxy.decide = decide
        client = server.client(proxy.url)

Bytes are passed on as they came, so what is signed for the proxy's own address stays valid: servers
verify the name they were called by, not the port they listen on. Connections are kept alive on both
sides, one to the server for each of a client.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Request:
    """A request as it came.

    Attributes:
        method: such as ``PUT``.
        key: of the object, or empty for a request to the bucket.
        query: the parameters of the URL.
        headers: their names in small letters.
        attempt: 1 for the first request of this method and key since ``decide`` was set, and so on.
        status: of the answer; 0 when there was none.
        body_bytes: how long the request's body is.
    """

    method: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    attempt: int
    body_bytes: int
    status: int = 0


@dataclass(frozen=True)
class Fault:
    """What happens to a request.

    Attributes:
        forward: how many times the server gets it.
        delay: seconds that it waits before.
        answer: bytes to answer with; None: what the server said, the last time.
        lose: close the connection instead of answering.
        reset: close it as one that is reset.
        keep: only so many bytes of the answer's body are sent, before the connection is closed.
    """

    forward: int = 1
    delay: float = 0.0
    answer: bytes | None = None
    lose: bool = False
    reset: bool = False
    keep: int | None = None


LOSE_REQUEST = Fault(forward=0, lose=True)
LOSE_REPLY = Fault(lose=True)
RESET = Fault(forward=0, lose=True, reset=True)
DUPLICATE = Fault(forward=2)


def answer(
    status: int,
    code: str = "",
    message: str = "as told",
    *,
    headers: Mapping[str, str] | None = None,
    body: str = "",
    after: bool = False,
) -> Fault:
    """An answer of S3 that the server did not give.

    Args:
        code: of the error; empty: no body, as some servers and proxies answer.
        body: another body than the one that tells the error.
        after: the server has done what was asked.
    """
    if code:
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    lines = {"Content-Type": "application/xml", **(headers or {}), "Content-Length": len(body)}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return Fault(int(after), answer=f"HTTP/1.1 {status} Told\r\n{head}\r\n{body}".encode())


class Proxy:
    """A proxy on a free port of 127.0.0.1, until the end of its ``with`` block.

    Args:
        upstream: the URL of the server.
        delay: seconds that every request waits, as if the server were far away.

    Attributes:
        url: where it listens.
        decide: what happens to a request; None: it is passed on. May be set at any time.
        requests: those seen so far.
        connections: how many were made by clients.
    """

    def __init__(self, upstream: str, delay: float = 0.0) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._delay = delay
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._decide: Callable[[Request], Fault | None] = lambda request: None
        self.requests: list[Request] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = "http://{}:{}".format(*self._listener.getsockname())
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def decide(self) -> Callable[[Request], Fault | None]:
        return self._decide

    @decide.setter
    def decide(self, decide: Callable[[Request], Fault | None]) -> None:
        with self._lock:
            self._attempts.clear()
            self._decide = decide

    def calls(self) -> Counter[str]:
        """How many requests there were, by ``METHOD key``."""
        return Counter(f"{request.method} {request.key}" for request in self.requests)

    def count(self, method: str) -> int:
        """How many requests of a method there were."""
        return sum(request.method == method for request in self.requests)

    def forget(self) -> None:
        """Count from here."""
        self.requests.clear()

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    # --- connections -----------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            self.connections += 1
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Answer the requests of one connection."""
        upstream = _Upstream(self._upstream)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(client)
        try:
            with client, client.makefile("rb") as stream:
                while self._one(client, stream, upstream):
                    pass
        except (OSError, EOFError):
            pass  # one of the two is gone
        finally:
            upstream.close()
            with self._lock:
                self._open.discard(client)

    def _one(self, client: socket.socket, stream: BinaryIO, upstream: _Upstream) -> bool:
        """Answer one request; whether the connection is still of use."""
        head = _head(stream)
        headers = _headers(head)
        if headers.get("expect", "").lower() == "100-continue":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = _body(stream, headers)
        raw = head + body
        request = self._seen(head, headers, len(body))
        fault = self._decide(request) or Fault()
        time.sleep(self._delay + fault.delay)
        reply = b""
        for _ in range(fault.forward):
            reply = upstream.ask(raw, request.method)
        if fault.lose:
            if fault.reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        reply = reply if fault.answer is None else fault.answer
        request.status = int(reply.split(b" ", 2)[1])
        if fault.keep is not None:
            client.sendall(reply[: reply.index(b"\r\n\r\n") + 4 + fault.keep])
            return False
        client.sendall(reply)
        return headers.get("connection", "").lower() != "close" and not upstream.closed_by_server

    def _seen(self, head: bytes, headers: dict[str, str], body: int) -> Request:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        parts = urlsplit(target)
        _, _, key = parts.path.lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, True).items()}
        with self._lock:
            self._attempts[method, key] += 1
            attempt = self._attempts[method, key]
            request = Request(method, unquote(key), query, headers, attempt, body)
            self.requests.append(request)
        return request


class _Upstream:
    """The connection to the server that belongs to one of a client."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self.closed_by_server = False

    def ask(self, raw: bytes, method: str) -> bytes:
        """The server's answer, whole."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._stream = self._socket.makefile("rb")
        self._socket.sendall(raw)
        while (head := _head(self._stream)).split(b" ", 2)[1].startswith(b"1"):
            pass  # 100 Continue was already said here
        status, headers = head.split(b" ", 2)[1], _headers(head)
        ends = method != "HEAD" and status not in (b"204", b"304")
        sized = "content-length" in headers or "transfer-encoding" in headers
        self.closed_by_server = headers.get("connection", "").lower() == "close"
        if ends and not sized:
            self.closed_by_server = True
            return head + self._stream.read()
        reply = head + (_body(self._stream, headers) if ends else b"")
        if self.closed_by_server:
            self.close()
        return reply

    def close(self) -> None:
        if self._socket is not None:
            self._stream.close()
            self._socket.close()
            self._socket = None


def _head(stream: BinaryIO) -> bytes:
    """The lines up to the empty one, with it."""
    lines = []
    while (line := stream.readline()) != b"\r\n":
        if not line.endswith(b"\n"):
            raise EOFError
        lines.append(line)
    return b"".join(lines) + b"\r\n"


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = [line.partition(":") for line in lines if line]
    return {name.lower(): value.strip() for name, _, value in pairs}


def _body(stream: BinaryIO, headers: dict[str, str]) -> bytes:
    """The body of a request or an answer, as it is on the wire."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        parts = []
        while True:
            line = stream.readline()
            size = int(line.split(b";")[0], 16)
            parts += [line, _exactly(stream, size) if size else b""]
            parts.append(stream.readline())
            if size == 0:
                return b"".join(parts)
    return _exactly(stream, int(headers.get("content-length", 0)))


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
