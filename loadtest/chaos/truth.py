"""What the server says when all is over: the log from PostgreSQL, the rest as any client fetches it."""

import json
from typing import Any

import asyncpg

from loadtest.chaos.people import Person
from loadtest.chaos.records import Frame, Truth

PAGE = 200


async def fetch(people: list[Person], postgres_url: str) -> Truth:
    """Everything of every chat and every user. Raises ChatdError, OSError, asyncpg.PostgresError."""
    truth = Truth()
    speakers = {chat_id: person for person in people for chat_id in person.chats}
    for person in people:
        page = await person.call("GET", "/chats", limit="100")
        truth.chats[person.account.user_id] = {chat["id"]: chat for chat in page["items"]}
    for chat_id, person in speakers.items():
        detail = await person.call("GET", f"/chats/{chat_id}")
        truth.reads[chat_id] = {m["user_id"]: m["last_read_seq"] for m in detail["members"]}
        truth.messages[chat_id] = await _history(person, chat_id)
    await _stored(truth, sorted(speakers), postgres_url)
    return truth


async def _history(person: Person, chat_id: str) -> dict[str, Frame]:
    found: dict[str, Frame] = {}
    query = {"limit": str(PAGE)}
    while True:
        page = await person.call("GET", f"/chats/{chat_id}/messages", **query)
        found |= {message["id"]: message for message in page["messages"]}
        before = page["paging"]["next_before_seq"]
        if before is None:
            return found
        query["before_seq"] = str(before)


async def _stored(truth: Truth, chat_ids: list[str], postgres_url: str) -> None:
    """The two log tables. Ids there are uuids; REST history has told which is which."""
    chats = {_uuid(chat_id): chat_id for chat_id in chat_ids}
    users = {_uuid(user_id): user_id for user_id in truth.chats}
    connection = await asyncpg.connect(postgres_url, timeout=10)
    try:
        rows = await connection.fetch("SELECT * FROM chat_messages ORDER BY chat_id, seq")
        events = await connection.fetch("SELECT * FROM chat_events ORDER BY chat_id, seq")
    finally:
        await connection.close()
    for chat_id in chat_ids:
        truth.rows[chat_id], truth.log[chat_id] = [], []
    for row in rows:
        chat_id = chats[str(row["chat_id"])]
        truth.rows[chat_id].append(_row(row, chat_id, users))
        truth.log[chat_id].append((row["seq"], "new", typeid("msg", row["id"].int)))
    for event in events:
        chat_id = chats[str(event["chat_id"])]
        truth.log[chat_id].append((event["seq"], event["kind"], typeid("msg", event["message_id"].int)))
    for log in truth.log.values():
        log.sort()


def _row(row: Any, chat_id: str, users: dict[str, str]) -> Frame:
    return {
        **dict(row),
        "chat_id": chat_id,
        "id": typeid("msg", row["id"].int),
        "sender_id": users[str(row["sender_id"])],
        "content": json.loads(row["content"]),
    }


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def typeid(prefix: str, number: int) -> str:
    """A uuid as the API shows it: 26 letters of Crockford's base 32."""
    return f"{prefix}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def _uuid(public_id: str) -> str:
    number = 0
    for letter in public_id.split("_", 1)[1]:
        number = number << 5 | _ALPHABET.index(letter)
    plain = f"{number:032x}"
    return "-".join((plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]))
