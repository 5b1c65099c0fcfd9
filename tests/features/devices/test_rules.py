"""Quiet hours, addresses of push services, and the encryption of Web Push."""

import base64
from datetime import UTC, datetime, time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from chatd.features.devices import rules, webpush


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "zone", "start", "end", "until"),
    [
        ("2026-07-01T12:00", None, time(11), time(13), "2026-07-01T13:00"),
        ("2026-07-01T13:00", None, time(11), time(13), None),
        ("2026-07-01T23:00", None, time(22), time(7), "2026-07-02T07:00"),
        ("2026-07-01T03:00", None, time(22), time(7), "2026-07-01T07:00"),
        ("2026-07-01T12:00", None, time(22), time(7), None),
        ("2026-07-01T12:00", None, time(9), time(9), None),
        ("2026-07-01T21:00", "Europe/Berlin", time(22), time(7), "2026-07-02T05:00"),
        # The night in which the clock goes back: 7 o'clock is an hour further away.
        ("2026-10-24T21:00", "Europe/Berlin", time(22), time(7), "2026-10-25T06:00"),
        # … and forward, past the end itself.
        ("2026-03-29T00:30", "Europe/Berlin", time(1), time(2, 30), "2026-03-29T00:30"),
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_wall(now, zone, start, end, until):
    found = rules.quiet_until(at(now), zone, start, end)
    assert found == (None if until is None else at(until))


@pytest.mark.parametrize(
    ("url", "ok"),
    [
        ("https://web.push.apple.com/abc", True),
        ("https://web.push.apple.com:443/abc", False),
        ("https://push.apple.com.evil.example/abc", False),
        ("https://evil.example/https://web.push.apple.com", False),
        ("https://evil.example#.push.apple.com", False),
        ("http://web.push.apple.com/abc", False),
        ("https://a@web.push.apple.com/abc", False),
        ("https://web.push.apple.com:99999/abc", False),
        ("ftp://web.push.apple.com/", False),
        ("https:///abc", False),
    ],
)
def test_only_push_services_are_called(url, ok):
    assert rules.origin_allowed(url, ("https://*.push.apple.com",)) is ok


def test_the_encryption_is_that_of_the_rfc_s_example():
    # RFC 8291, appendix A
    def raw(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    ephemeral = ec.derive_private_key(
        int.from_bytes(raw("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big"), ec.SECP256R1()
    )
    found = webpush.encrypt(
        b"When I grow up, I want to be a watermelon",
        raw("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
        raw("BTBZMqHH6r4Tts7J_aSIgg"),
        ephemeral=ephemeral,
        salt=raw("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert found == raw(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8w"
        "EqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
