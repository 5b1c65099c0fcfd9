"""Whose address a connection has, when proxies stand before us; and whose pages may open sockets."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from chatd.core.settings import SettingsError

Address = IPv4Address | IPv6Address


class Proxies:
    """The proxies that are believed (``server.trusted_proxies``, in CIDR notation).

    Raises SettingsError for a network that is none.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        try:
            self._networks = tuple(ip_network(each, strict=False) for each in trusted)
        except ValueError as error:
            raise SettingsError(f"server.trusted_proxies: {error}") from None

    def client(self, peer: str, forwarded: Sequence[str]) -> str:
        """The client's address: the peer's, or what trusted proxies say of it.

        ``forwarded`` are the values of X-Forwarded-For, in order. Each proxy appends whom it was called
        by, so only the right end is believed, as far as it names trusted proxies; what stands to the left
        of the first stranger may be forged.
        """
        address = _parse(peer)
        if address is None:
            return ""
        if not self._networks or not self._trusts(address):
            return str(address)
        for hop in reversed([hop for value in forwarded for hop in value.split(",")]):
            said = _parse(hop.strip())
            if said is None:
                break
            address = said
            if not self._trusts(said):
                break
        return str(address)

    def trusts(self, peer: str) -> bool:
        """Whether this peer is a trusted proxy."""
        address = _parse(peer)
        return address is not None and self._trusts(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def rate_key(address: str) -> str:
    """What to count requests of an address under: IPv6 by its /64, which is one customer (RFC 6177)."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 64), strict=False))
    return address


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    """An address, with or without a port; an IPv4 address inside IPv6 is the IPv4 address."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def welcomes(allowed: Collection[str], origin: str | None, host: str) -> bool:
    """Whether this Origin may open sockets.

    Phones send none; a browser's page must be ours (come from this ``host``) or allowed, since anybody's page
    could open one otherwise (cross-site hijacking).
    """
    if origin is None or "*" in allowed or origin in allowed:
        return True
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False
