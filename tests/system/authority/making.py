"""Makers of what questions are about, each for the one who asks; the scene does the work."""

from collections.abc import Callable
from typing import Any

from tests.system.authority.asks import Values
from tests.system.authority.cast import Actor
from tests.system.authority.scene import PASSWORD, Scene


def chat(s: Scene, a: Actor) -> str:
    return a.chat


def said(s: Scene, a: Actor) -> Any:
    return s.said()


def own(s: Scene, a: Actor) -> Any:
    return s.own(a)


def victim(s: Scene, a: Actor) -> Any:
    return s.victim(a)


def person(s: Scene, a: Actor) -> Any:
    return s.person(a)


def oneself(s: Scene, a: Actor) -> str:
    """The id of the one who asks; nobody asks about a member."""
    return a.user_id or s.cast["member"].user_id


def direct(s: Scene, a: Actor) -> str:
    return s.direct(a)


def in_direct(s: Scene, a: Actor) -> Any:
    return s.in_direct(a)


def text(s: Scene, a: Actor) -> Values:
    return {"content": s.text()}


def message(s: Scene, a: Actor) -> Values:
    return s.message()


def emoji(s: Scene, a: Actor) -> str:
    return "👍"


def fields(**body: Any) -> Callable[[Scene, Actor], Values]:
    return lambda s, a: body


def thing(maker: str, whose: str) -> Callable[[Scene, Actor], Any]:
    """What a scene's maker makes for the one who asks (``self``) or for the author (``other``)."""
    return lambda s, a: getattr(s, maker)(oneself(s, a) if whose == "self" else s.author)


async def scheduled(s: Scene, a: Actor) -> str:
    """One's own, in one's direct chat with the author (before a ban or a block: as it stands there)."""
    if a.role in ("banned", "blocked"):
        return (
            await s.scheduled(s.author, s.direct(a))
            if a.role == "banned"
            else await s.scheduled(a.user_id, s.chat)
        )
    return await s.scheduled(oneself(s, a), s.direct(a))


async def invited(s: Scene, a: Actor) -> Values:
    return {"user_ids": [await s.person(a)]}


async def new_chat(s: Scene, a: Actor, kind: str) -> Values:
    return {"type": kind, "member_ids": [await s.person(a)]}


async def read_up_to(s: Scene, a: Actor) -> Values:
    return {"last_read_message_id": await s.said()}


async def thread_read(s: Scene, a: Actor) -> Values:
    root = await s.said()
    body = {"last_read_message_id": await s.said(reply_to=root)}
    return {"chat_id": s.chat, "message_id": root, "body": body}


async def forward(s: Scene, a: Actor) -> Values:
    return {"chat_id": s.direct(a), "client_message_id": s.number()}


async def put_link(s: Scene, a: Actor) -> Values:
    media_id, url = await s.medium(s.author)
    return {"media_id": media_id, "query": url.partition("?")[2], "body": b"no picture"}


async def get_link(s: Scene, a: Actor) -> Values:
    media_id = await s.shown()
    details = await s.done(s.author, "GET", f"/api/media/{media_id}/details")
    return {"media_id": media_id, "query": details["url"].partition("?")[2]}


async def gp(s: Scene, a: Actor) -> Values:
    return {"gpId": await s.gp(a)}


async def inside_gp(s: Scene, a: Actor) -> Values:
    return {"gpId": await s.gp(a, inside=True)}


async def check_gp(s: Scene, a: Actor) -> Values:
    return {"gpId": await s.gp(a, inside=True), "action": "check"}


async def registration(s: Scene, a: Actor) -> Values:
    return {"email": f"{s.number()}@example.com", "password": PASSWORD, "display_name": "New"}


async def login(s: Scene, a: Actor) -> Values:
    return {"email": await s.email(), "password": PASSWORD}


async def refresh(s: Scene, a: Actor) -> Values:
    _, tokens = await s.ask(s.cast["nobody"], "POST", "/api/auth/login", await login(s, a))
    return {"refresh_token": tokens["refresh_token"]}


async def own_medium(s: Scene, a: Actor) -> str:
    return (await s.medium(s.author if a.role in ("nobody", "banned") else a.user_id))[0]


async def face(s: Scene, a: Actor) -> Values:
    return {"media_id": await s.uploaded(s.author if a.role in ("nobody", "banned") else a.user_id)}


async def other_face(s: Scene, a: Actor) -> Values:
    return {"media_id": await s.unsent()}


async def session_of_victim(s: Scene, a: Actor) -> Values:
    user_id = await s.person(a)
    return {"user_id": user_id, "session_id": await s.session(user_id)}


def case(s: Scene, a: Actor) -> Any:
    return s.case()


async def claimed_case(s: Scene, a: Actor) -> str:
    """Claimed by the one who asks, where they can; else by an admin."""
    able = a.role in ("moderator", "owner", "staff", "admin")
    return await s.case(claimed_by=a.user_id if able else s.operator)


async def case_of_victim(s: Scene, a: Actor) -> str:
    return await s.case(by=await s.victim(s.cast["stranger"]))


def new_filter(s: Scene, a: Actor) -> Values:
    return s.filter()


def sanctioned(kind: str) -> Callable[[Scene, Actor], Any]:
    return lambda s, a: s.sanctioned(a, kind)


SPAM = fields(reason="spam")
FOREIGN = {"chat_id": chat, "message_id": said}
DIRECT = {"chat_id": direct, "message_id": in_direct}
