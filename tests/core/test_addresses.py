"""Whom proxies speak for, and how far they are believed."""

import pytest

from chatd.core.addresses import Proxies, rate_key
from chatd.core.settings import SettingsError

TRUSTED = Proxies(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", ["1.2.3.4"], "203.0.113.5"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4, 10.9.9.9"], "1.2.3.4"),
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("10.0.0.1", ["1.2.3.4, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, nonsense, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", ["1.2.3.4:5678"], "1.2.3.4"),
        ("10.0.0.1", ["[2001:db8::1]:80"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("fd00::1%eth0", ["1.2.3.4"], "1.2.3.4"),
        ("", ["1.2.3.4"], ""),
    ],
)
def test_only_what_trusted_proxies_say_is_believed(peer, forwarded, client):
    assert TRUSTED.client(peer, forwarded) == client


def test_without_trusted_proxies_nothing_is_believed():
    assert Proxies([]).client("10.0.0.1", ["1.2.3.4"]) == "10.0.0.1"


def test_a_network_that_is_none_is_a_setting_error():
    with pytest.raises(SettingsError, match="trusted_proxies"):
        Proxies(["everywhere"])


def test_ipv6_is_counted_by_its_64():
    assert rate_key("2001:db8::1") == rate_key("2001:db8::ffff") == "2001:db8::/64"
    assert rate_key("1.2.3.4") == "1.2.3.4"
    assert rate_key("") == ""
