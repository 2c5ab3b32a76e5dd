"""Detects session ids that change with each request, the most common cause of lost memory."""

from __future__ import annotations

from checkpoint._runtime import log

_MANY = 50


class KeyWatch:
    """Counts created sessions until one is restored, which shows that ids are stable."""

    def __init__(self) -> None:
        self._created: list[str] = []
        self._done = False

    def saw_created(self, session_id: str) -> None:
        if self._done:
            return
        self._created.append(session_id)
        if len(self._created) >= _MANY:
            self._done = True  # warn once
            log.warning(
                f"{_MANY} sessions were created here and none was restored: does the session id "
                "change with each request? Pass the same id for the same conversation",
                last=self._created[-3:],
            )

    def saw_restored(self) -> None:
        self._done = True
        self._created.clear()
