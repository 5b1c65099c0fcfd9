"""One's own sessions and passwords over HTTP and sockets, on two nodes."""

from typing import Any

from tests.system.world import World

PASSWORD = "correct horse"


async def call(two: World, token: str, method: str, path: str, body: Any = None, node: int = 0):
    """(status, body) of a call with this token, or without one."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with two.http.request(method, two.url(node) + path, json=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None) if await answer.text() else None


async def sign_up(two: World, email: str) -> str:
    new = {"email": email, "password": PASSWORD, "display_name": "Alex"}
    status, made = await call(two, "", "POST", "/api/users", new)
    assert status == 201, made
    return str(made["id"])


async def sign_in(two: World, email: str, device: str, password: str = PASSWORD) -> str:
    body = {"email": email, "password": password, "device": {"name": device, "platform": "ios"}}
    status, signed = await call(two, "", "POST", "/api/auth/login", body)
    assert status == 200, signed
    return str(signed["access_token"])


async def test_a_session_that_is_ended_elsewhere_closes_its_sockets_on_every_node(two):
    user = await sign_up(two, "alex@example.com")
    lost, mine = [await sign_in(two, "alex@example.com", name) for name in ("lost", "mine")]
    phones = [await two.phone(user, node=node, token=lost) for node in (0, 1)]
    kept = await two.phone(user, node=1, token=mine)
    _, listed = await call(two, mine, "GET", "/api/auth/sessions")
    by_name = {each["device_name"]: each for each in listed["sessions"]}
    assert [by_name[name]["current"] for name in ("lost", "mine")] == [False, True]
    path = f"/api/auth/sessions/{by_name['lost']['id']}"
    assert (await call(two, mine, "DELETE", path))[0] == 204
    assert [await phone.closed() for phone in phones] == [4401, 4401]
    assert (await call(two, lost, "GET", "/api/users/me", node=1))[0] == 401
    assert (await call(two, mine, "DELETE", path))[0] == 404
    await kept.fence()


async def test_a_new_password_closes_the_sockets_of_all_other_devices(two):
    user = await sign_up(two, "alex@example.com")
    other, mine = [await sign_in(two, "alex@example.com", name) for name in ("other", "mine")]
    phone, kept = await two.phone(user, node=1, token=other), await two.phone(user, token=mine)
    change = {"current_password": "wrong horse", "new_password": "another horse"}
    status, problem = await call(two, mine, "POST", "/api/auth/password", change)
    assert (status, problem["code"]) == (403, "forbidden")
    change["current_password"] = PASSWORD
    assert (await call(two, mine, "POST", "/api/auth/password", change))[0] == 204
    assert await phone.closed() == 4401
    await kept.fence()
    assert await sign_in(two, "alex@example.com", "again", "another horse")
    status, ended = await call(two, mine, "DELETE", "/api/auth/sessions?keep_current=false")
    assert (status, ended) == (200, {"ended": 2})
    assert await kept.closed() == 4401


async def test_what_a_stranger_gets(two):
    await sign_up(two, "alex@example.com")
    for email in ("alex@example.com", "nobody@example.com", "no email"):
        answer = await call(two, "", "POST", "/api/auth/password/forgot", {"email": email})
        assert answer == (202, {"status": "sent"})
    code = {"token": "no-code-of-ours"}
    for path, body in (
        ("/api/auth/password/reset", code | {"new_password": "another horse"}),
        ("/api/auth/email/verify", code),
    ):
        status, problem = await call(two, "", "POST", path, body)
        assert (status, problem["code"], problem["errors"][0]["path"]) == (
            422,
            "validation_failed",
            "$.token",
        )
    for method, path in (
        ("GET", "/api/auth/sessions"),
        ("DELETE", "/api/auth/sessions"),
        ("POST", "/api/auth/email"),
        ("POST", "/api/auth/password"),
        ("DELETE", "/api/users/me"),
        ("POST", "/api/users/me/export"),
    ):
        assert (await call(two, "", method, path, {}))[0] == 401
