"""Labels: names for revisions, each an attachment of its session."""

from __future__ import annotations

from checkpoint._ids import SessionKey
from checkpoint._records.frame import DIGEST_SIZE, digest
from checkpoint.errors import Damaged
from checkpoint.store import Attachment

_PREFIX = "label/"


def attachment_name(label: str) -> str:
    return _PREFIX + label


def label_attachment(key: SessionKey, label: str, revision: int) -> Attachment:
    """The attachment that stores the revision of a label, with a digest."""
    name, number = attachment_name(label), revision.to_bytes(8, "big")
    return Attachment(0, name, number + digest(key, b"", name.encode(), number))


def read_labels(key: SessionKey, attachments: list[Attachment]) -> dict[str, int]:
    """The labels among the attachments of a session, with their revisions.

    Raises:
        Damaged: a label was changed in the store.
    """
    labels: dict[str, int] = {}
    for attachment in attachments:
        if not attachment.name.startswith(_PREFIX):
            continue
        label = attachment.name.removeprefix(_PREFIX)
        number, found = attachment.data[:-DIGEST_SIZE], attachment.data[-DIGEST_SIZE:]
        if found != digest(key, b"", attachment.name.encode(), number):
            raise Damaged(
                f"the label {label!r} was changed in the store; set it again, or remove it"
            ).at(key)
        labels[label] = int.from_bytes(number, "big")
    return labels
