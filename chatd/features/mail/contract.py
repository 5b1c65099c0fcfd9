"""Shapes of mail; none of them is on the wire of clients."""

from datetime import datetime
from typing import Annotated

import msgspec

from chatd.core.ids import id_meta

MailId = Annotated[str, id_meta("eml")]


class Letter(msgspec.Struct, frozen=True):
    """One letter in plain text, to one address."""

    recipient: str
    subject: str
    body: str


class Waiting(msgspec.Struct, frozen=True):
    """A letter of the outbox that this run has taken; ``attempts`` counts this one."""

    id: MailId
    recipient: str
    subject: str
    body: str
    attempts: int
    created_at: datetime
    expires_at: datetime
