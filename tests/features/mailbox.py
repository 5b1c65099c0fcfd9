"""A local SMTP server that keeps what it takes."""

import asyncio
import email
import re
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult


class Mailbox:
    """At aiosmtpd's protocol of handlers; ``answers`` are given instead of taking, first come first."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.rcpts: list[str] = []
        self.answers: list[str] = []
        self.rcpt_answers: list[str] = []
        self.senders: list[str] = []
        self.sender_answers: list[str] = []
        self.port = 0

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.sender_answers:
            return self.sender_answers.pop(0)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        self.senders.append(address)
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.rcpt_answers:
            return self.rcpt_answers.pop(0)
        envelope.rcpt_tos.append(address)
        self.rcpts.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answers:
            return self.answers.pop(0)
        letter = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        return "250 taken"

    def to(self, address: str) -> list[EmailMessage]:
        """What came for an address."""
        return [letter for letter in self.letters if letter["To"] == address]

    def code(self, address: str) -> str:
        """The code in the last letter to an address."""
        found = re.search(r"^ {4}(\S+)\r?$", self.to(address)[-1].get_content(), re.MULTILINE)
        assert found is not None
        return found[1]


@asynccontextmanager
async def mailbox(
    *, user: str = "", password: str = "", tls: ssl.SSLContext | None = None, implicit: bool = False
) -> AsyncIterator[Mailbox]:
    """A listening one, which asks for this log-in where there is a user, and for TLS where it has some: by
    STARTTLS, or (``implicit``) from the first byte.
    """

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (user.encode(), password.encode()))

    login = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": False} if user else {}
    box, loop = Mailbox(), asyncio.get_running_loop()

    def protocol() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a log-in without TLS is what a test on this machine wants
            starting = {"tls_context": tls, "require_starttls": True} if tls and not implicit else {}
            return SMTP(box, loop=loop, **login, **starting)

    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if implicit else None)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()
