"""What ``verify`` finds in a store: stored bytes that are not what was written."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something of a session that cannot be used.

    Attributes:
        namespace, session_id: its address.
        what: ``"head"``, ``"revision"``, ``"page"``, ``"label"`` or ``"pin"``.
        message: what is wrong with it.
        revisions: those that cannot be restored for it, as ranges from a first to a last.
        page: id of the page, in hex; None where it is not one.
    """

    __module__ = "checkpoint"

    namespace: str
    session_id: str
    what: str
    message: str
    revisions: tuple[tuple[int, int], ...] = ()
    page: str | None = None

    def __str__(self) -> str:
        told = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in self.revisions)
        return f"{self.what}: {self.message}" + (f" (revisions hit: {told})" if told else "")
