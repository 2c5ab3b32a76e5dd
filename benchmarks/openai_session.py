"""OpenAI Agents' ``SQLiteSession`` as a way to make a turn; it needs ``openai-agents``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from items import Kind
from ways import LAST, Way

if TYPE_CHECKING:
    from agents import SQLiteSession


class OpenAI(Way):
    """``get_items(limit=50)`` and ``add_items`` of two, as dicts that nothing validates.

    It keeps a connection for each thread, so one thread does its work: else some of the turns
    would be timed with the opening of a file.
    """

    def __init__(
        self, file: Path, kind: Kind, sessions: Sequence[str], items: Sequence[Any]
    ) -> None:
        from agents import SQLiteSession  # here: it takes seconds

        self._kind = kind
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
        self._sessions = {name: SQLiteSession(name, file) for name in sessions}
        for session in self._sessions.values():
            self._loop.run_until_complete(session.add_items(self._plain(items)))

    def prepared(self, said: Sequence[Any]) -> Sequence[Any]:
        return self._plain(said)

    def turn(self, session: str, touch: str, said: Sequence[Any]) -> None:
        self._loop.run_until_complete(self._turn(self._sessions[session], list(said)))

    async def _turn(self, session: SQLiteSession, said: list[Any]) -> None:
        await session.get_items(limit=LAST)
        await session.add_items(said)

    def _plain(self, items: Sequence[Any]) -> list[Any]:
        return [json.loads(self._kind.dumped(item)) for item in items]

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
