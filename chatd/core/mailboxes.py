"""Addresses of mail as the operator writes them."""

from email.errors import MessageError
from email.headerregistry import Address
from email.policy import SMTP


def mailbox(text: str) -> Address:
    """One mailbox (RFC 5322, 3.4), as ``Name <name@host>`` or ``name@host``, as every SMTP server takes it.

    Raises ValueError for anything else.
    """
    try:
        header = SMTP.header_factory("From", text)
    except (
        MessageError,
        IndexError,
        AttributeError,
    ) as error:  # the parser is not always as lenient as it says
        raise ValueError("no mailbox") from error
    if header.defects or len(header.addresses) != 1:
        raise ValueError("no mailbox")
    [found] = header.addresses
    host = found.domain.encode("idna").decode()  # a UnicodeError is a ValueError
    return Address(found.display_name, found.username, host)
