"""Every Redis channel and key name, in one place. All begin with ``redis.prefix``."""


class Channels:
    """The names under one prefix; several deployments may share a Redis."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        #: What every node hears: heartbeats, presence, pushes to users, "read the feed".
        self.nodes = f"{prefix}:nodes".encode()
        self._chat = f"{prefix}:chat:".encode()
        self._chat_length = len(self._chat)

    def chat(self, chat_id: str) -> bytes:
        """The events of one chat; heard by the nodes that have a socket in it."""
        return self._chat + chat_id.encode()

    def chat_of(self, channel: bytes) -> str | None:
        """The chat of a channel that ``chat`` named; None for any other."""
        if channel.startswith(self._chat):
            return channel[self._chat_length :].decode()
        return None

    def rate(self, bucket: str, key: str) -> str:
        """The key that holds a rate's theoretical arrival time."""
        return f"{self.prefix}:rate:{bucket}:{key}"
