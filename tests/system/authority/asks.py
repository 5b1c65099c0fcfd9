"""How each row of the table is asked: what it is about and what is sent. Fresh things for each who asks.

A row's label is its route or command, and after a dot which of its questions it is, where there are several.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.system.authority.scene import GP, NOTHING, PASSWORD, Actor, Scene

Values = dict[str, Any]
Prepare = Callable[[Scene, Actor], Awaitable[Values]]


@dataclass(frozen=True)
class Ask:
    """``prepare`` makes what the question is about: values for the path's names, ``body`` and ``query`` (or a
    command's ``fields``). ``alone``: the question changes who asks it, so each is a new one of their kind.
    """

    prepare: Prepare
    alone: bool = False


def plainly(**values: Any) -> Ask:
    """A question that is about nothing fresh."""

    async def prepare(s: Scene, a: Actor) -> Values:
        return values

    return Ask(prepare)


def about(*, alone: bool = False, **makers: Callable[[Scene, Actor], Any]) -> Ask:
    """A question whose values are made anew, each by its maker, in order."""

    async def prepare(s: Scene, a: Actor) -> Values:
        made = {}
        for name, make in makers.items():
            value = make(s, a)
            made[name] = await value if isinstance(value, Awaitable) else value
        return made

    return Ask(prepare, alone)


def _chat(s: Scene, a: Actor) -> str:
    return a.chat


def _said(s: Scene, a: Actor) -> Any:
    return s.said()


def _own(s: Scene, a: Actor) -> Any:
    return s.own(a)


def _victim(s: Scene, a: Actor) -> Any:
    return s.victim(a)


def _person(s: Scene, a: Actor) -> Any:
    return s.person(a)


def _self(s: Scene, a: Actor) -> str:
    """The id of the one who asks; nobody asks about a member."""
    return a.user_id or s.cast["member"].user_id


def _other(s: Scene, a: Actor) -> str:
    return s.author


def _direct(s: Scene, a: Actor) -> str:
    return s.direct(a)


def _in_direct(s: Scene, a: Actor) -> Any:
    return s.in_direct(a)


def _text(s: Scene, a: Actor) -> Values:
    return {"content": s.text()}


def _message(s: Scene, a: Actor) -> Values:
    return s.message()


def _emoji(s: Scene, a: Actor) -> str:
    return "👍"


def _body(**body: Any) -> Callable[[Scene, Actor], Values]:
    return lambda s, a: body


def _of(maker: str, whose: str) -> Callable[[Scene, Actor], Any]:
    """What a scene's maker makes for the one who asks (``self``) or for the author (``other``)."""
    return lambda s, a: getattr(s, maker)(_self(s, a) if whose == "self" else s.author)


async def _scheduled(s: Scene, a: Actor) -> str:
    """One's own, in one's direct chat with the author (before a ban or a block: as it stands there)."""
    if a.role in ("banned", "blocked"):
        return (
            await s.scheduled(s.author, s.direct(a))
            if a.role == "banned"
            else await s.scheduled(a.user_id, s.chat)
        )
    return await s.scheduled(_self(s, a), s.direct(a))


async def _invited(s: Scene, a: Actor) -> Values:
    return {"user_ids": [await s.person(a)]}


async def _with(s: Scene, a: Actor, kind: str) -> Values:
    return {"type": kind, "member_ids": [await s.person(a)]}


async def _read_up_to(s: Scene, a: Actor) -> Values:
    return {"last_read_message_id": await s.said()}


async def _thread_read(s: Scene, a: Actor) -> Values:
    root = await s.said()
    return {"message_id": root, "body": {"last_read_message_id": await s.said(reply_to=root)}}


async def _forward(s: Scene, a: Actor) -> Values:
    return {"chat_id": s.direct(a), "client_message_id": s.number()}


async def _put_link(s: Scene, a: Actor) -> Values:
    media_id, url = await s.medium(s.author)
    return {"media_id": media_id, "query": url.partition("?")[2], "body": b"no picture"}


async def _get_link(s: Scene, a: Actor) -> Values:
    media_id = await s.shown()
    details = await s.done(s.author, "GET", f"/api/media/{media_id}/details")
    return {"media_id": media_id, "query": details["url"].partition("?")[2]}


async def _gp(s: Scene, a: Actor) -> Values:
    return {"gpId": await s.gp(a)}


async def _inside_gp(s: Scene, a: Actor) -> Values:
    return {"gpId": await s.gp(a, inside=True)}


async def _check_gp(s: Scene, a: Actor) -> Values:
    return {"gpId": await s.gp(a, inside=True), "action": "check"}


async def _registration(s: Scene, a: Actor) -> Values:
    return {"email": f"{s.number()}@example.com", "password": PASSWORD, "display_name": "New"}


async def _login(s: Scene, a: Actor) -> Values:
    return {"email": await s.email(), "password": PASSWORD}


async def _refresh(s: Scene, a: Actor) -> Values:
    _, tokens = await s.ask(s.cast["nobody"], "POST", "/api/auth/login", await _login(s, a))
    return {"refresh_token": tokens["refresh_token"]}


async def _own_medium(s: Scene, a: Actor) -> str:
    return (await s.medium(s.author if a.role in ("nobody", "banned") else a.user_id))[0]


async def _face(s: Scene, a: Actor) -> Values:
    return {"media_id": await s.uploaded(s.author if a.role in ("nobody", "banned") else a.user_id)}


async def _other_face(s: Scene, a: Actor) -> Values:
    return {"media_id": await s.unsent()}


async def _session_of_victim(s: Scene, a: Actor) -> Values:
    user_id = await s.person(a)
    return {"user_id": user_id, "session_id": await s.session(user_id)}


def _case(s: Scene, a: Actor) -> Any:
    return s.case()


async def _claimed_case(s: Scene, a: Actor) -> str:
    """Claimed by the one who asks, where they can; else by an admin."""
    able = a.role in ("moderator", "owner", "staff", "admin")
    return await s.case(claimed_by=a.user_id if able else s.operator)


async def _case_of_victim(s: Scene, a: Actor) -> str:
    return await s.case(by=await s.victim(s.cast["stranger"]))


def _filter(s: Scene, a: Actor) -> Values:
    return s.filter()


def _sanctioned(kind: str) -> Callable[[Scene, Actor], Any]:
    return lambda s, a: s.sanctioned(a, kind)


_SPAM = _body(reason="spam")
_FOREIGN = {"chat_id": _chat, "message_id": _said}
_DIRECT = {"chat_id": _direct, "message_id": _in_direct}

ROUTES: dict[str, Ask] = {
    # -- accounts
    "POST /users": about(body=_registration),
    "POST /auth/login": about(body=_login),
    "POST /auth/refresh": about(body=_refresh),
    "POST /auth/logout": about(alone=True),
    "POST /auth/oidc/{provider}": plainly(provider="google", body={"id_token": "no token"}),
    "GET /auth/sessions": plainly(),
    "DELETE /auth/sessions": about(alone=True),
    "DELETE /auth/sessions/{session_id} · own": about(session_id=_of("session", "self")),
    "DELETE /auth/sessions/{session_id} · another's": about(session_id=_of("session", "other")),
    "POST /auth/password": plainly(body={"current_password": "wrong password", "new_password": PASSWORD}),
    "POST /auth/password/forgot": about(body=lambda s, a: {"email": f"{s.number()}@example.com"}),
    "POST /auth/password/reset": plainly(body={"token": "wrong", "new_password": PASSWORD}),
    "POST /auth/email": plainly(),
    "POST /auth/email/verify": plainly(body={"token": "wrong"}),
    "GET /users": about(query=lambda s, a: f"ids={s.author}"),
    "GET /users/{user_id}": about(user_id=_person),
    "PATCH /users/{user_id} · own": about(user_id=_self, body=_body(bio="me")),
    "PATCH /users/{user_id} · another's": about(user_id=_person, body=_body(bio="them")),
    "DELETE /users/me": about(alone=True, body=_body()),
    "POST /users/me/export": plainly(),
    "GET /users/me/export/{export_id} · own": about(export_id=_of("export", "self")),
    "GET /users/me/export/{export_id} · another's": about(export_id=_of("export", "other")),
    "GET /users/me/export/{export_id}/parts/{number} · own": about(
        export_id=_of("export", "self"), number=lambda s, a: 0
    ),
    "GET /users/me/export/{export_id}/parts/{number} · another's": about(
        export_id=_of("export", "other"), number=lambda s, a: 0
    ),
    # -- media
    "POST /media": plainly(body={"type": "image", "content_type": "image/png", "file_name": "x"}),
    "PUT /media/{media_id}/upload · by its link": Ask(_put_link),
    "PUT /media/{media_id}/upload · without": about(
        media_id=_own_medium, query=lambda s, a: "expires=1&signature=x", body=lambda s, a: b"no picture"
    ),
    "POST /media/{media_id}/complete · another's": about(media_id=lambda s, a: s.unsent()),
    "GET /media/{media_id} · of the group": about(media_id=lambda s, a: s.shown()),
    "GET /media/{media_id} · not sent yet": about(media_id=lambda s, a: s.unsent()),
    "GET /media/{media_id}/details · of the group": about(media_id=lambda s, a: s.shown()),
    "GET /media/{media_id}/file · by its link": Ask(_get_link),
    "GET /media/{media_id}/file · without": about(
        media_id=lambda s, a: s.shown(), query=lambda s, a: "variant=original&expires=1&signature=x"
    ),
    "DELETE /media/{media_id} · own": about(media_id=_own_medium),
    "DELETE /media/{media_id} · another's": about(media_id=lambda s, a: s.unsent()),
    "PUT /users/me/avatar · own": about(body=_face),
    "PUT /users/me/avatar · another's": about(body=_other_face),
    "DELETE /users/me/avatar": plainly(),
    # -- chats
    "POST /chats · direct": about(body=lambda s, a: _with(s, a, "direct")),
    "POST /chats · group": about(body=lambda s, a: _with(s, a, "group")),
    "GET /chats": plainly(),
    "GET /chats/{chat_id}": about(chat_id=_chat),
    "GET /chats/{chat_id} · direct of others": about(chat_id=lambda s, a: s.direct_of(s.owner, s.author)),
    "PATCH /chats/{chat_id}": about(chat_id=_chat, body=lambda s, a: {"title": s.number()}),
    "GET /chats/{chat_id}/settings": about(chat_id=_chat),
    "PUT /chats/{chat_id}/settings": about(chat_id=_chat, body=_body(pinned=True)),
    "POST /chats/{chat_id}/members": about(chat_id=_chat, body=_invited),
    "POST /chats/{chat_id}/members · direct": about(chat_id=_direct, body=_invited),
    "PUT /chats/{chat_id}/members/{user_id}": about(
        chat_id=_chat, user_id=_victim, body=_body(role="moderator")
    ),
    "PUT /chats/{chat_id}/members/{user_id} · oneself": about(
        chat_id=_chat, user_id=_self, body=_body(role="owner")
    ),
    "DELETE /chats/{chat_id}/members/{user_id}": about(chat_id=_chat, user_id=_victim),
    "DELETE /chats/{chat_id}/members/{user_id} · the owner": about(
        chat_id=_chat, user_id=lambda s, a: s.owner
    ),
    "DELETE /chats/{chat_id}/members/{user_id} · me": about(
        alone=True, chat_id=_chat, user_id=lambda s, a: "me"
    ),
    "GET /message-requests": plainly(),
    "POST /message-requests/{chat_id}/accept · for me": about(chat_id=lambda s, a: s.request(a)),
    "POST /message-requests/{chat_id}/accept · another's": about(
        chat_id=lambda s, a: s.request(s.cast["nobody"])
    ),
    "POST /message-requests/{chat_id}/decline · for me": about(chat_id=lambda s, a: s.request(a)),
    "POST /message-requests/{chat_id}/decline · another's": about(
        chat_id=lambda s, a: s.request(s.cast["nobody"])
    ),
    # -- messages
    "POST /chats/{chat_id}/messages": about(chat_id=_chat, body=_message),
    "POST /chats/{chat_id}/messages · direct": about(chat_id=_direct, body=_message),
    "POST /chats/{chat_id}/messages · as another": about(
        chat_id=_chat, body=lambda s, a: s.message(sender_id=s.owner if a.role != "owner" else s.author)
    ),
    "POST /chats/{chat_id}/messages · calling all": about(
        chat_id=_chat, body=lambda s, a: s.message(content=s.text() | {"mentions_all": True})
    ),
    "GET /chats/{chat_id}/messages": about(chat_id=_chat),
    "PATCH /chats/{chat_id}/messages/{message_id} · own": about(chat_id=_chat, message_id=_own, body=_text),
    "PATCH /chats/{chat_id}/messages/{message_id} · another's": about(**_FOREIGN, body=_text),
    "DELETE /chats/{chat_id}/messages/{message_id} · own": about(chat_id=_chat, message_id=_own),
    "DELETE /chats/{chat_id}/messages/{message_id} · another's": about(**_FOREIGN),
    "DELETE /chats/{chat_id}/messages/{message_id} · direct, another's": about(**_DIRECT),
    "PUT /chats/{chat_id}/messages/{message_id}/reactions/{emoji}": about(**_FOREIGN, emoji=_emoji),
    "PUT /chats/{chat_id}/messages/{message_id}/reactions/{emoji} · direct": about(**_DIRECT, emoji=_emoji),
    "DELETE /chats/{chat_id}/messages/{message_id}/reactions/{emoji}": about(**_FOREIGN, emoji=_emoji),
    "DELETE /chats/{chat_id}/messages/{message_id}/reactions/{emoji} · direct": about(
        **_DIRECT, emoji=_emoji
    ),
    "GET /chats/{chat_id}/pins": about(chat_id=_chat),
    "PUT /chats/{chat_id}/messages/{message_id}/pin": about(**_FOREIGN),
    "PUT /chats/{chat_id}/messages/{message_id}/pin · direct": about(**_DIRECT),
    "DELETE /chats/{chat_id}/messages/{message_id}/pin": about(
        chat_id=_chat, message_id=lambda s, a: s.pinned()
    ),
    "DELETE /chats/{chat_id}/messages/{message_id}/pin · direct": about(
        chat_id=_direct, message_id=lambda s, a: s.pinned_in_direct(a)
    ),
    "GET /chats/{chat_id}/messages/{message_id}/versions": about(**_FOREIGN),
    "POST /chats/{chat_id}/messages/{message_id}/forward": about(**_FOREIGN, body=_forward),
    "POST /chats/{chat_id}/messages/{message_id}/forward · into the group": about(
        **_DIRECT, body=lambda s, a: {"chat_id": s.chat, "client_message_id": s.number()}
    ),
    "POST /chats/{chat_id}/read": about(chat_id=_chat, body=_read_up_to),
    "POST /chats/{chat_id}/typing": about(chat_id=_chat, body=_body(is_typing=True)),
    "POST /chats/{chat_id}/typing · direct": about(chat_id=_direct, body=_body(is_typing=True)),
    "GET /presence": about(query=lambda s, a: f"user_ids={s.author}"),
    # -- conversations
    "GET /chats/{chat_id}/threads": about(chat_id=_chat),
    "GET /chats/{chat_id}/threads/{message_id}": about(chat_id=_chat, message_id=lambda s, a: s.thread()),
    "POST /chats/{chat_id}/threads/{message_id}/read": Ask(lambda s, a: _merged(s, a, _thread_read)),
    "GET /mentions": plainly(),
    "GET /messages/{message_id}/link": about(message_id=_said),
    "GET /drafts": plainly(),
    "PUT /chats/{chat_id}/draft": about(chat_id=_chat, body=_body(text="begun")),
    "DELETE /chats/{chat_id}/draft": about(chat_id=_chat),
    "POST /chats/{chat_id}/scheduled": about(
        chat_id=_chat, body=lambda s, a: {"content": s.text(), "send_at": "2027-06-01T00:00:00Z"}
    ),
    "GET /scheduled": plainly(),
    "PATCH /scheduled/{scheduled_id} · own": about(scheduled_id=_scheduled, body=_text),
    "PATCH /scheduled/{scheduled_id} · another's": about(
        scheduled_id=lambda s, a: s.scheduled(s.author, s.chat), body=_text
    ),
    "DELETE /scheduled/{scheduled_id} · own": about(scheduled_id=_scheduled),
    "DELETE /scheduled/{scheduled_id} · another's": about(
        scheduled_id=lambda s, a: s.scheduled(s.author, s.chat)
    ),
    "GET /search/messages": plainly(query="q=hello"),
    "GET /search/messages · a chat": about(query=lambda s, a: f"q=hello&chat_id={s.chat}"),
    # -- moderation
    "POST /chats/{chat_id}/messages/{message_id}/report": about(**_FOREIGN, body=_SPAM),
    "POST /chats/{chat_id}/messages/{message_id}/report · own": about(
        chat_id=_chat, message_id=_own, body=_SPAM
    ),
    "POST /users/{user_id}/report": about(user_id=_person, body=_SPAM),
    "POST /users/{user_id}/report · oneself": about(user_id=_self, body=_SPAM),
    "GET /moderation/cases": plainly(),
    "GET /moderation/cases · of the group": about(query=lambda s, a: f"chat_id={s.chat}"),
    "GET /moderation/cases · of a direct chat": about(query=lambda s, a: f"chat_id={s.direct(a)}"),
    "GET /moderation/cases/{case_id}": about(case_id=_case),
    "POST /moderation/cases/{case_id}/claim": about(case_id=_case),
    "POST /moderation/cases/{case_id}/claim · claimed": about(
        case_id=lambda s, a: s.case(claimed_by=s.operator)
    ),
    "POST /moderation/cases/{case_id}/release": about(case_id=_claimed_case),
    "POST /moderation/cases/{case_id}/resolve": about(case_id=_claimed_case, body=_body(action="hide")),
    "POST /moderation/cases/{case_id}/resolve · by a ban from the server": about(
        case_id=_case_of_victim, body=_body(action="ban_server")
    ),
    "POST /moderation/cases/{case_id}/dismiss": about(case_id=_claimed_case, body=_body()),
    "PUT /chats/{chat_id}/members/{user_id}/mute": about(chat_id=_chat, user_id=_victim, body=_body()),
    "PUT /chats/{chat_id}/members/{user_id}/mute · the owner": about(
        chat_id=_chat, user_id=lambda s, a: s.owner, body=_body()
    ),
    "PUT /chats/{chat_id}/members/{user_id}/mute · direct": about(
        chat_id=lambda s, a: s.direct_of(a.user_id, s.author) if a.role == "stranger" else s.direct(a),
        user_id=_person,
        body=_body(),
    ),
    "DELETE /chats/{chat_id}/members/{user_id}/mute": about(
        chat_id=_chat, user_id=lambda s, a: s.muted_victim(a)
    ),
    "DELETE /chats/{chat_id}/members/{user_id}/mute · oneself": about(chat_id=_chat, user_id=_self),
    "POST /chats/{chat_id}/members/{user_id}/kick": about(chat_id=_chat, user_id=_victim, body=_body()),
    "GET /chats/{chat_id}/bans": about(chat_id=_chat),
    "PUT /chats/{chat_id}/bans/{user_id}": about(chat_id=_chat, user_id=_victim, body=_body()),
    "PUT /chats/{chat_id}/bans/{user_id} · the owner": about(
        chat_id=_chat, user_id=lambda s, a: s.owner, body=_body()
    ),
    "DELETE /chats/{chat_id}/bans/{user_id}": about(chat_id=_chat, user_id=_sanctioned("chat")),
    "PUT /chats/{chat_id}/messages/{message_id}/hidden": about(**_FOREIGN, body=_body()),
    "PUT /chats/{chat_id}/messages/{message_id}/hidden · direct": about(**_DIRECT, body=_body()),
    "DELETE /chats/{chat_id}/messages/{message_id}/hidden": about(
        chat_id=_chat, message_id=lambda s, a: s.hidden()
    ),
    "GET /moderation/bans": plainly(),
    "PUT /moderation/bans/{user_id}": about(user_id=_person, body=_body()),
    "PUT /moderation/bans/{user_id} · an admin": about(user_id=lambda s, a: s.operator, body=_body()),
    "DELETE /moderation/bans/{user_id}": about(user_id=_sanctioned("bans")),
    "PUT /moderation/mutes/{user_id}": about(user_id=_person, body=_body()),
    "DELETE /moderation/mutes/{user_id}": about(user_id=_sanctioned("mutes")),
    "POST /moderation/users/{user_id}/kick": about(user_id=_person, body=_body()),
    "GET /moderation/filters": plainly(),
    "POST /moderation/filters": about(body=_filter),
    "PUT /moderation/filters/{filter_id}": about(filter_id=lambda s, a: s.filter_id(), body=_filter),
    "DELETE /moderation/filters/{filter_id}": about(filter_id=lambda s, a: s.filter_id()),
    "GET /moderation/audit": plainly(),
    # -- devices and notifications
    "POST /devices": about(
        body=lambda s, a: {"provider": "fcm", "token": f"a-token-long-enough-{s.number()}"}
    ),
    "GET /devices": plainly(),
    "GET /devices/web-push-key": plainly(),
    "DELETE /devices/{device_id} · own": about(device_id=_of("device", "self")),
    "DELETE /devices/{device_id} · another's": about(device_id=_of("device", "other")),
    "GET /notifications": plainly(),
    "POST /notifications/read": plainly(),
    "POST /notifications/{notification_id}/read · own": about(notification_id=_of("notification", "self")),
    "POST /notifications/{notification_id}/read · another's": about(
        notification_id=_of("notification", "other")
    ),
    "GET /notifications/settings": plainly(),
    "PATCH /notifications/settings": plainly(body={"preview": False}),
    # -- privacy
    "GET /privacy": plainly(),
    "PATCH /privacy": plainly(body={"last_seen": "shared_chats"}),
    "GET /blocks": plainly(),
    "PUT /blocks/{user_id}": about(user_id=_person),
    "PUT /blocks/{user_id} · oneself": about(user_id=_self),
    "DELETE /blocks/{user_id}": about(user_id=_person),
    # -- GPs
    "POST /gp/create": plainly(body=GP),
    "GET /gp/list": plainly(query="latitude=28.6&longitude=77.2"),
    "POST /gp/join": about(body=_gp),
    "GET /gp/explore": plainly(query="latitude=28.6&longitude=77.2"),
    "POST /gp/permanent-convert": about(body=_check_gp),
    "GET /gp/check-limits": plainly(),
    "GET /gp/my-gps": plainly(),
    "POST /gp/leave": about(body=_inside_gp),
    "POST /gp/update-activity": about(body=_inside_gp),
    "POST /gp/expire": plainly(),
    "GET /gp/{gp_id}": about(gp_id=lambda s, a: s.gp(a, inside=True)),
    # -- admin
    "GET /admin/users/{user_id}": about(user_id=_person),
    "PUT /admin/users/{user_id}/roles": about(user_id=_person, body=_body(roles=["moderator"])),
    "PUT /admin/users/{user_id}/roles · oneself": about(
        alone=True, user_id=_self, body=_body(roles=["moderator", "admin"])
    ),
    "PUT /admin/users/{user_id}/ban": about(user_id=_person, body=_body()),
    "PUT /admin/users/{user_id}/ban · an admin": about(user_id=lambda s, a: s.operator, body=_body()),
    "DELETE /admin/users/{user_id}/ban": about(user_id=_sanctioned("bans")),
    "GET /admin/users/{user_id}/sessions": about(user_id=_person),
    "DELETE /admin/users/{user_id}/sessions": about(user_id=_person),
    "DELETE /admin/users/{user_id}/sessions/{session_id}": Ask(_session_of_victim),
    "GET /admin/users/{user_id} · who is not there": plainly(user_id=f"usr_{NOTHING}"),
    "GET /admin/chats/{chat_id}": about(chat_id=_chat),
    "GET /admin/chats": about(query=lambda s, a: f"user_id={s.author}"),
    "POST /admin/drain": plainly(),
}


async def _merged(s: Scene, a: Actor, more: Prepare) -> Values:
    return {"chat_id": s.chat, **await more(s, a)}


def _fields(**makers: Callable[[Scene, Actor], Any]) -> Ask:
    return about(**makers)


COMMANDS: dict[str, Ask] = {
    "message.send": _fields(
        chat_id=_chat, client_message_id=lambda s, a: s.number(), content=lambda s, a: s.text()
    ),
    "message.send · direct": _fields(
        chat_id=_direct, client_message_id=lambda s, a: s.number(), content=lambda s, a: s.text()
    ),
    "message.edit · own": _fields(chat_id=_chat, message_id=_own, content=lambda s, a: s.text()),
    "message.edit · another's": _fields(**_FOREIGN, content=lambda s, a: s.text()),
    "message.delete · own": _fields(chat_id=_chat, message_id=_own),
    "message.delete · another's": _fields(**_FOREIGN),
    "message.delete · direct, another's": _fields(**_DIRECT),
    "reaction.add": _fields(**_FOREIGN, emoji=_emoji),
    "reaction.add · direct": _fields(**_DIRECT, emoji=_emoji),
    "reaction.remove": _fields(**_FOREIGN, emoji=_emoji),
    "reaction.remove · direct": _fields(**_DIRECT, emoji=_emoji),
    "delivery.read": _fields(chat_id=_chat, last_read_message_id=_said),
    "delivery.received": _fields(chat_id=_chat, message_id=_said),
    "sync": _fields(chat_id=_chat, after_seq=lambda s, a: 0, limit=lambda s, a: 10),
    "typing.start": _fields(chat_id=_chat),
    "typing.start · direct": _fields(chat_id=_direct),
    "typing.stop": _fields(chat_id=_chat),
    "presence.set": plainly(status="away"),
    "presence.watch": _fields(user_ids=lambda s, a: [s.author]),
    "draft.set": _fields(chat_id=_chat, text=lambda s, a: "begun"),
    "gp.watch": plainly(latitude=28.6, longitude=77.2),
    "gp.unwatch": plainly(),
    "auth.refresh · one's own token": _fields(token=lambda s, a: s.token(a) if a.user_id else "none"),
    "auth.refresh · another's token": _fields(token=lambda s, a: s.world.token(s.author)),
    "ping": plainly(),
}

#: On ``/chats/{chat_id}``: of the group, of one's direct chat, of a chat of others; and about another chat.
CHAT_SOCKET: dict[str, Ask] = {
    "sync · the group": about(
        path=lambda s, a: f"/chats/{s.chat}", after_seq=lambda s, a: 0, limit=lambda s, a: 10
    ),
    "sync · one's direct chat": about(
        path=lambda s, a: f"/chats/{s.direct(a)}", after_seq=lambda s, a: 0, limit=lambda s, a: 10
    ),
    "message.send · the group": about(
        path=lambda s, a: f"/chats/{s.chat}",
        client_message_id=lambda s, a: s.number(),
        content=lambda s, a: s.text(),
    ),
    "message.send · another of one's chats": about(
        path=lambda s, a: f"/chats/{s.direct(a)}",
        chat_id=_chat,
        client_message_id=lambda s, a: s.number(),
        content=lambda s, a: s.text(),
    ),
    "sync · no chat": about(
        path=lambda s, a: f"/chats/cht_{NOTHING}", after_seq=lambda s, a: 0, limit=lambda s, a: 10
    ),
}
