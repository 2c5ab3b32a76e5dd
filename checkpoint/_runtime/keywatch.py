"""Noticing that the session id is a new one each time: the commonest way to forget."""

from __future__ import annotations

from checkpoint._runtime import log

_MANY = 50


class KeyWatch:
    """Counts sessions that are created, until one is restored: then ids are stable."""

    def __init__(self) -> None:
        self._created: list[str] = []
        self._done = False

    def saw_created(self, session_id: str) -> None:
        if self._done:
            return
        self._created.append(session_id)
        if len(self._created) >= _MANY:
            self._done = True  # said once
            log.warning(
                f"{_MANY} sessions were created here and none was ever restored: is the session "
                f"id a new one for each request? Pass the same id for the same conversation",
                last=self._created[-3:],
            )

    def saw_restored(self) -> None:
        self._done = True
        self._created.clear()
