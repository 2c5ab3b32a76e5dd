"""Processes that start warm: forks of one that has imported the library and opened nothing.

A fresh interpreter takes longer to import the library than to save a hundred times; such a fork is
as fresh as it for all that the library does.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from select import select
from types import TracebackType
from typing import Any

_ROOT = Path(__file__).parents[__name__.count(".") if __name__ != "__main__" else 0]
_REQUEST = 64 * 1024  # bytes of a request, at most

Say = Callable[..., None]
"""What a role tells the test with: one line for each call, of plain values."""


class Child:
    """A process that plays a role; what it says can be read to its end, even if it was killed."""

    def __init__(self, nursery: Nursery, pid: int, lines: int, gate: int) -> None:
        self.pid = pid
        self._nursery = nursery
        self._lines = os.fdopen(lines)
        self._gate: int | None = gate
        self._status: int | None = None

    def go(self) -> None:
        """Let it begin: a child waits for this, so that several begin together."""
        if self._gate is not None:
            os.close(self._gate)
            self._gate = None

    def hear(self, seconds: float | None = None) -> list[Any] | None:
        """The next thing it says; None when it is gone and all was heard, or it says nothing."""
        if seconds is not None and not select([self._lines], [], [], seconds)[0]:
            return None
        line = self._lines.readline()
        heard: list[Any] | None = json.loads(line) if line.endswith("\n") else None
        return heard

    def hear_all(self) -> list[list[Any]]:
        """Everything else it says."""
        return list(iter(self.hear, None))

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """How it ended: its exit code, or minus the signal that ended it."""
        if self._status is None:
            self.go()
            self._status = self._nursery.reap(self.pid)
            self._lines.close()
        return self._status


class Nursery:
    """Starts children, and ends them all when it is left."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        theirs.close()
        self._children: list[Child] = []

    def __enter__(self) -> Nursery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end_all()
        self._socket.close()
        self._process.wait()

    def start(self, role: Callable[..., None], *, waits: bool = False, **given: Any) -> Child:
        """Start a child in a role of :mod:`.roles`; one that ``waits`` begins at its ``go()``."""
        lines, said = os.pipe()
        held, gate = os.pipe()
        request = json.dumps([role.__name__, given]).encode()
        socket.send_fds(self._socket, [request], [said, held])
        os.close(said)
        os.close(held)
        child = Child(self, int(self._socket.recv(_REQUEST)), lines, gate)
        self._children.append(child)
        if not waits:
            child.go()
        return child

    def reap(self, pid: int) -> int:
        self._socket.send(str(pid).encode())
        return int(self._socket.recv(_REQUEST))

    def end_all(self) -> None:
        """End the children that were not waited for."""
        for child in self._children:
            if child._status is None:
                child.send(signal.SIGKILL)
                child.wait()
        self._children.clear()


def serve(requests: socket.socket) -> None:
    """Fork a child for each role asked for, and wait for each process asked about."""
    while True:
        request, fds, _, _ = socket.recv_fds(requests, _REQUEST, 2)
        if not request:
            return
        if not fds:
            _, status = os.waitpid(int(request), 0)
            requests.send(str(os.waitstatus_to_exitcode(status)).encode())
            continue
        pid = os.fork()
        if pid == 0:
            requests.close()
            _play(*json.loads(request), *fds)
        for fd in fds:
            os.close(fd)
        requests.send(str(pid).encode())


def _play(role: str, given: dict[str, Any], said: int, held: int) -> None:
    """Play a role to its end, which is that of the process."""
    from . import roles

    def say(*words: Any) -> None:
        os.write(said, json.dumps(words).encode() + b"\n")

    code = 1
    try:
        os.read(held, 1)  # until the test closes the other end
        getattr(roles, role)(say, **given)
        code = 0
    except BaseException as exc:  # noqa: BLE001 - told to the test
        say("failed", type(exc).__name__, str(exc))
    finally:
        os._exit(code)


if __name__ == "__main__":
    import checkpoint

    from . import roles  # noqa: F401 - imported once, here, for all children

    checkpoint.preload("sqlite:///unused.db")
    serve(socket.socket(fileno=int(sys.argv[1])))
