"""Typing and presence: what was shown, against what was (protocol.md, 5)."""

from collections.abc import Iterator, Mapping

from loadtest.chaos.records import Records, SocketRecord, Violation

TYPING_S = 5.0
#: At most one typing.start per user and chat in 2 s; frames may bunch on their way.
TYPING_EVERY_S = 2.0


def typing(records: Records, slack_s: float) -> Iterator[Violation]:
    """Each typing.start was stopped in time, none was shown to its own user, none came too often."""
    for socket in records.sockets:
        if socket.proxied:
            continue
        on: dict[tuple[str, str], float] = {}
        for at, frame in socket.of_type("typing.start", "typing.stop", "chat.left"):
            if frame["type"] == "chat.left":  # who is out hears of no end
                on = {key: since for key, since in on.items() if key[0] != frame["chat_id"]}
                continue
            key = frame["chat_id"], frame["user_id"]
            if frame["user_id"] == socket.user_id:
                yield Violation("typing", at, f"{socket.device} was shown its own typing")
            since = on.pop(key, None)
            if since is not None and frame["type"] == "typing.start" and at - since < TYPING_EVERY_S - 0.5:
                yield Violation("typing", at, f"{socket.device}: two starts within {at - since:.2f} s")
            if since is not None and at - since - records.stalled_s(since, at) > 2 * TYPING_S + slack_s:
                yield Violation("typing", at, f"{socket.device}: typed for {at - since:.1f} s")
            if frame["type"] == "typing.start":
                on[key] = at
        end = records.end_of(socket)
        for (chat_id, user_id), since in on.items():
            # A start may be renewed unseen within 2 s, so it may last that much longer.
            if end - since > TYPING_S + TYPING_EVERY_S + slack_s:
                yield Violation("typing", since, f"{socket.device} {chat_id}: {user_id} types for ever")


def at_rest(shown: Mapping[str, Mapping[str, str]], wanted: Mapping[str, str]) -> Iterator[str]:
    """What watchers see (watcher -> user -> status), against what is."""
    for watcher, statuses in shown.items():
        for user_id, status in wanted.items():
            if statuses.get(user_id) != status:
                yield f"{watcher} sees {user_id} {statuses.get(user_id)}, not {status}"


def presence(records: Records, grace_s: float) -> Iterator[Violation]:
    """Nobody was shown offline who had a socket at any time in the grace before, and did not hide.

    People whose sockets may stall are not judged, nor what was shown to them.
    """
    there: dict[str, list[SocketRecord]] = {}
    proxied = {socket.user_id for socket in records.sockets if socket.proxied}
    for socket in records.sockets:
        there.setdefault(socket.user_id, []).append(socket)
    for socket in records.sockets:
        if socket.proxied:
            continue
        for at, frame in socket.of_type("presence.state", "presence.update"):
            shown = frame["users"] if frame["type"] == "presence.state" else [frame]
            for user in shown:
                if user["status"] != "offline" or user["user_id"] in proxied:
                    continue
                if at >= records.hidden.get(user["user_id"], at + 1):
                    continue
                sockets = there.get(user["user_id"], [])
                # What the server saw before it wrote this; a socket's last moments are its own affair.
                begin, end = at - grace_s + 0.5, at - 0.5
                was = any(s.opened_at < end and (s.closed_at or at) > begin for s in sockets)
                if was:
                    what = f"{socket.device} saw {user['user_id']} go offline, who was there"
                    yield Violation("presence", at, what)
