"""What in the settings can be seen to be wrong before anything is started by them."""

import re
from urllib.parse import urlsplit

from chatd.core.addresses import Proxies
from chatd.core.settings import Settings, SettingsError
from chatd.gateway.tls import context_of
from chatd.realtime.redis import Endpoint

#: As browsers send it: no path, not even a slash. Apps in a web view have schemes of their own.
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/\s]*")


def check(settings: Settings) -> None:
    """Raise SettingsError for what no worker could start with, or what could never have an effect."""
    server = settings.server
    Proxies(server.trusted_proxies)
    context_of(server)
    for origin in server.allowed_origins:
        if not _ORIGIN.fullmatch(origin):
            raise SettingsError(
                f"server.allowed_origins: {origin!r} is no origin, which is as https://app.example.com: "
                "a scheme and a host, and no slash at the end"
            )
    if server.public_url and (
        urlsplit(server.public_url).scheme not in ("http", "https") or not urlsplit(server.public_url).netloc
    ):
        raise SettingsError(
            f"server.public_url: {server.public_url!r} is no address as https://chat.example.com"
        )
    _check_keys(settings)
    if settings.redis.url:
        try:
            Endpoint(settings.redis.url)
        except (ValueError, OSError) as error:  # which do not tell the password
            raise SettingsError(f"redis.url cannot be used: {error}") from None


def _check_keys(settings: Settings) -> None:
    """Keys for pushes, which would else be tried for the first time when somebody is to be reached."""
    secrets = settings.secrets
    if not (secrets.fcm_account or secrets.apns_key or secrets.vapid_key):
        return
    from chatd.features.devices import apns, fcm, webpush  # only now: it takes a while

    if secrets.fcm_account:
        fcm.account_of(secrets.fcm_account)
    if secrets.apns_key:
        apns.check(secrets.apns_key, settings.push)
    if secrets.vapid_key:
        webpush.public_key(secrets.vapid_key)
