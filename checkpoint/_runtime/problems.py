"""The problems that ``verify`` reports."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """A damaged or missing part of a session.

    Attributes:
        namespace, session_id: the session.
        what: ``"head"``, ``"revision"``, ``"page"``, ``"label"`` or ``"pin"``.
        message: description of the problem.
        revisions: the revisions that cannot be restored, as ranges from first to last.
        page: id of the page, in hex; None for other parts.
    """

    __module__ = "checkpoint"

    namespace: str
    session_id: str
    what: str
    message: str
    revisions: tuple[tuple[int, int], ...] = ()
    page: str | None = None

    def __str__(self) -> str:
        ranges = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in self.revisions)
        affected = f" (revisions affected: {ranges})" if ranges else ""
        return f"{self.what}: {self.message}{affected}"
