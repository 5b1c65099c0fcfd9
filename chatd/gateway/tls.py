"""The server's side of TLS, from the files that the settings name."""

import ssl

from chatd.core.settings import Server, SettingsError


def context_of(server: Server) -> ssl.SSLContext | None:
    """What the files say now; None without TLS. Raises SettingsError, which names the file."""
    if not server.tls_cert:
        if server.tls_key:
            raise SettingsError("server.tls_key is set and server.tls_cert is not: there would be no TLS")
        return None
    for name, path in (("tls_cert", server.tls_cert), ("tls_key", server.tls_key or server.tls_cert)):
        try:
            with open(path, "rb"):  # noqa: PTH123  ssl's own error does not say which of the two
                pass
        except OSError as error:
            raise SettingsError(f"server.{name} {path!r} cannot be read: {error.strerror}") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Never ask for a passphrase: nobody sits at the terminal of a server.
        context.load_cert_chain(server.tls_cert, server.tls_key or None, password=_no_passphrase)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise SettingsError(
            f"server.tls_cert {server.tls_cert!r} and server.tls_key {server.tls_key!r} are not a "
            f"certificate (PEM) and its key without a passphrase: {reason}"
        ) from None
    return context


def _no_passphrase() -> str:
    return ""
