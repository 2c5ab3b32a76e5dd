"""Mistakes that type checkers must find, one a line. It is never called.

Each is ignored by its comment; a comment that ignores nothing is an error in both checkers, so a
mistake that is not found any more fails the test.
"""

from __future__ import annotations

import checkpoint
from checkpoint import AsyncCheckpointer, Checkpointer, Memory, Snapshot

from .accepted import (
    Agent,
    AsyncTutorAdapter,
    Message,
    Support,
    Tutor,
    TutorAdapter,
    answer_slowly,
    build,
    capture,
)


def opening() -> None:
    checkpoint.open(3)  # type: ignore
    checkpoint.open("memory://", schema="a")  # type: ignore
    checkpoint.open("memory://", Support())  # type: ignore
    checkpoint.open("memory://", Tutor, capture=capture)  # type: ignore
    checkpoint.open("memory://", Support, capture=capture, build=build)  # type: ignore
    checkpoint.open("memory://", Tutor, adapter=Agent([]))  # type: ignore
    checkpoint.open("memory://", Support, adapter=TutorAdapter())  # type: ignore
    checkpoint.open("memory://", Tutor, adapter=AsyncTutorAdapter())  # type: ignore
    checkpoint.open("memory://", max_bytes="64M")  # type: ignore
    checkpoint.open("memory://", colour="blue")  # type: ignore


def using(cp: Checkpointer[Support], snapshot: Snapshot) -> None:
    cp.save("user-42", Tutor())  # type: ignore
    cp.save("user-42", {"memory": []})  # type: ignore
    cp.save("user-42", Support(), parent=1)  # type: ignore
    cp.save(42, Support())  # type: ignore
    cp.turn("user-42", new=Tutor)  # type: ignore
    cp.turn("user-42").state = Tutor()  # type: ignore
    cp.turn("user-42", build=Agent)  # type: ignore
    cp.run("user-42", 3)  # type: ignore
    cp.run("user-42", lambda: 3)  # type: ignore
    cp.run("user-42", capture)  # type: ignore
    cp.run("user-42", lambda state: state.nothing)  # type: ignore
    cp.restore("user-42", revision=1.5)  # type: ignore
    cp.rollback("user-42")  # type: ignore
    cp.restore("user-42").state.memory.append("hi")  # type: ignore
    cp.restore("user-42").state = Support()  # type: ignore
    snapshot.revision = 2  # type: ignore
    with cp.turn("user-42") as turn:
        turn.state.memory[0] = Tutor()  # type: ignore
        turn.state.nothing  # type: ignore  # noqa: B018
        turn.revision = 3  # type: ignore


async def using_asynchronously(cp: AsyncCheckpointer[Support]) -> None:
    (await cp.restore("user-42")).state.nothing  # type: ignore  # noqa: B018
    cp.restore("user-42").state  # type: ignore  # noqa: B018
    await cp.save("user-42", Agent([]))  # type: ignore
    with cp.turn("user-42"):  # type: ignore
        pass
    for _ in cp.sessions():  # type: ignore
        pass
    total: int = await cp.run("user-42", answer_slowly)  # type: ignore
    print(total)


def remembering(memory: Memory[Message]) -> None:
    memory.append("hi")  # type: ignore
    number: int = memory[0]  # type: ignore
    print(number)
