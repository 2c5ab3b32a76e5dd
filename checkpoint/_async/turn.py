"""One turn of an agent: restored on entry, saved on exit."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic

from typing_extensions import TypeVar

from checkpoint._async.engine import AsyncEngine
from checkpoint._async.loading import Begun
from checkpoint._ids import SessionKey
from checkpoint._records.body import RESULT
from checkpoint._records.header import RecordHeader
from checkpoint._runtime.adapter import AsyncAdapter
from checkpoint._runtime.snapshot import Snapshot
from checkpoint.errors import InvalidOption

S = TypeVar("S")
T = TypeVar("T", default=S)


class AsyncTurn(Generic[S, T]):
    """A turn from :meth:`AsyncCheckpointer.turn`; enter it with ``async with``.

    Attributes:
        session_id: the session.
        turn_id: the caller's key for this turn, or None.
        replayed: whether this ``turn_id`` was saved before. If so, the state is as that turn left
            it, and nothing is saved on exit.
    """

    __module__ = "checkpoint"

    def __init__(
        self,
        engine: AsyncEngine[S],
        key: SessionKey,
        turn_id: str | None,
        new: Callable[[], S] | None,
        window: int | None,
        adapter: AsyncAdapter[S, T] | None,
    ) -> None:
        self._engine = engine
        self._key = key
        self._new = new or engine.options.schema.new
        self._window = window
        self._adapter = adapter
        self._begun: Begun[S] | None = None
        self._subject: Any = None  # the agent, or the state if there is no adapter
        self.session_id = key.session_id
        self.turn_id = turn_id
        self._at: RecordHeader | None = None
        self.replayed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.session_id!r} at revision {self.revision}>"

    @property
    def state(self) -> S:
        """The state; change it in place or assign another.

        Raises:
            InvalidOption: the turn was not entered, or has an agent, which is saved instead.
        """
        self._require_no_agent()
        state: S = self._subject
        return state

    @state.setter
    def state(self, state: S) -> None:
        self._require_no_agent()
        self._subject = state

    @property
    def agent(self) -> T:
        """The live agent that ``build`` made from the state; without an adapter, the state."""
        self._entered()
        agent: T = self._subject
        return agent

    @property
    def revision(self) -> int:
        """The revision of the state: after entry the restored one, after exit the saved one.

        0 if the session is new.
        """
        return self._at.revision if self._at else 0

    @property
    def snapshot(self) -> Snapshot | None:
        """Metadata of the state's revision; None before the first save."""
        return Snapshot.of(*self._key, self._at) if self._at else None  # rarely asked for

    async def __aenter__(self) -> AsyncTurn[S, T]:
        if self._begun is not None:
            raise InvalidOption("a turn can only be entered once; make another with turn()")
        self._begun = begun = await self._engine.begin(
            self._key,
            adapter=self._adapter,
            window=self._window,
            turn_id=self.turn_id,
            new=self._new,
        )
        self._subject, self.replayed = begun.agent, begun.replayed
        self._at = begun.lineage.known.saved
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and not self.replayed:
            await self._save(None)

    async def finish(self, result: Any) -> None:
        """Save the turn for :meth:`AsyncCheckpointer.run`, with the result if it has an id."""
        await self._save(None if self.turn_id is None else {RESULT: result})

    @property
    def result(self) -> Any:
        """The result of the first delivery to ``run``; None otherwise."""
        return self._entered().result

    async def _save(self, result: dict[int, Any] | None) -> None:
        lineage = self._entered().lineage
        self._at = await self._engine.save(
            self._subject, lineage, turn_id=self.turn_id, result=result
        )

    def _require_no_agent(self) -> None:
        self._entered()
        if self._adapter is not None:
            raise InvalidOption("this turn saves the state of its agent; use turn.agent")

    def _entered(self) -> Begun[S]:
        if self._begun is None:
            raise InvalidOption("the turn was not entered; use it in a with statement")
        return self._begun
