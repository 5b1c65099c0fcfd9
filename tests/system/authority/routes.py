"""How each route of the table is asked.

A row's label is its route, and after a dot which of its questions it is, where there are several.
"""

from tests.system.authority import making as make
from tests.system.authority.asks import Ask, about, plainly
from tests.system.authority.scene import GP, NOTHING, PASSWORD

ROUTES: dict[str, Ask] = {
    # -- accounts
    "POST /users": about(body=make.registration),
    "POST /auth/login": about(body=make.login),
    "POST /auth/refresh": about(body=make.refresh),
    "POST /auth/logout": about(alone=True),
    "POST /auth/oidc/{provider}": plainly(provider="google", body={"id_token": "no token"}),
    "GET /auth/sessions": plainly(),
    "DELETE /auth/sessions": about(alone=True),
    "DELETE /auth/sessions/{session_id} · own": about(session_id=make.thing("session", "self")),
    "DELETE /auth/sessions/{session_id} · another's": about(session_id=make.thing("session", "other")),
    "POST /auth/password": plainly(body={"current_password": "wrong password", "new_password": PASSWORD}),
    "POST /auth/password/forgot": about(body=lambda s, a: {"email": f"{s.number()}@example.com"}),
    "POST /auth/password/reset": plainly(body={"token": "wrong", "new_password": PASSWORD}),
    "POST /auth/email": plainly(),
    "POST /auth/email/verify": plainly(body={"token": "wrong"}),
    "GET /users": about(query=lambda s, a: f"ids={s.author}"),
    "GET /users/{user_id}": about(user_id=make.person),
    "PATCH /users/{user_id} · own": about(user_id=make.oneself, body=make.fields(bio="me")),
    "PATCH /users/{user_id} · another's": about(user_id=make.person, body=make.fields(bio="them")),
    "DELETE /users/me": about(alone=True, body=make.fields()),
    "POST /users/me/export": plainly(),
    "GET /users/me/export/{export_id} · own": about(export_id=make.thing("export", "self")),
    "GET /users/me/export/{export_id} · another's": about(export_id=make.thing("export", "other")),
    "GET /users/me/export/{export_id}/parts/{number} · own": about(
        export_id=make.thing("export", "self"), number=lambda s, a: 0
    ),
    "GET /users/me/export/{export_id}/parts/{number} · another's": about(
        export_id=make.thing("export", "other"), number=lambda s, a: 0
    ),
    # -- media
    "POST /media": plainly(body={"type": "image", "content_type": "image/png", "file_name": "x"}),
    "PUT /media/{media_id}/upload · by its link": Ask(make.put_link),
    "PUT /media/{media_id}/upload · without": about(
        media_id=make.own_medium, query=lambda s, a: "expires=1&signature=x", body=lambda s, a: b"no picture"
    ),
    "POST /media/{media_id}/complete · another's": about(media_id=lambda s, a: s.unsent()),
    "GET /media/{media_id} · of the group": about(media_id=lambda s, a: s.shown()),
    "GET /media/{media_id} · not sent yet": about(media_id=lambda s, a: s.unsent()),
    "GET /media/{media_id}/details · of the group": about(media_id=lambda s, a: s.shown()),
    "GET /media/{media_id}/file · by its link": Ask(make.get_link),
    "GET /media/{media_id}/file · without": about(
        media_id=lambda s, a: s.shown(), query=lambda s, a: "variant=original&expires=1&signature=x"
    ),
    "DELETE /media/{media_id} · own": about(media_id=make.own_medium),
    "DELETE /media/{media_id} · another's": about(media_id=lambda s, a: s.unsent()),
    "PUT /users/me/avatar · own": about(body=make.face),
    "PUT /users/me/avatar · another's": about(body=make.other_face),
    "DELETE /users/me/avatar": plainly(),
    # -- chats
    "POST /chats · direct": about(body=lambda s, a: make.new_chat(s, a, "direct")),
    "POST /chats · group": about(body=lambda s, a: make.new_chat(s, a, "group")),
    "GET /chats": plainly(),
    "GET /chats/{chat_id}": about(chat_id=make.chat),
    "GET /chats/{chat_id} · direct of others": about(chat_id=lambda s, a: s.direct_of(s.owner, s.author)),
    "PATCH /chats/{chat_id}": about(chat_id=make.chat, body=lambda s, a: {"title": s.number()}),
    "GET /chats/{chat_id}/settings": about(chat_id=make.chat),
    "PUT /chats/{chat_id}/settings": about(chat_id=make.chat, body=make.fields(pinned=True)),
    "POST /chats/{chat_id}/members": about(chat_id=make.chat, body=make.invited),
    "POST /chats/{chat_id}/members · direct": about(chat_id=make.direct, body=make.invited),
    "PUT /chats/{chat_id}/members/{user_id}": about(
        chat_id=make.chat, user_id=make.victim, body=make.fields(role="moderator")
    ),
    "PUT /chats/{chat_id}/members/{user_id} · oneself": about(
        chat_id=make.chat, user_id=make.oneself, body=make.fields(role="owner")
    ),
    "DELETE /chats/{chat_id}/members/{user_id}": about(chat_id=make.chat, user_id=make.victim),
    "DELETE /chats/{chat_id}/members/{user_id} · the owner": about(
        chat_id=make.chat, user_id=lambda s, a: s.owner
    ),
    "DELETE /chats/{chat_id}/members/{user_id} · me": about(
        alone=True, chat_id=make.chat, user_id=lambda s, a: "me"
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
    "POST /chats/{chat_id}/messages": about(chat_id=make.chat, body=make.message),
    "POST /chats/{chat_id}/messages · direct": about(chat_id=make.direct, body=make.message),
    "POST /chats/{chat_id}/messages · as another": about(
        chat_id=make.chat, body=lambda s, a: s.message(sender_id=s.owner if a.role != "owner" else s.author)
    ),
    "POST /chats/{chat_id}/messages · calling all": about(
        chat_id=make.chat, body=lambda s, a: s.message(content=s.text() | {"mentions_all": True})
    ),
    "GET /chats/{chat_id}/messages": about(chat_id=make.chat),
    "PATCH /chats/{chat_id}/messages/{message_id} · own": about(
        chat_id=make.chat, message_id=make.own, body=make.text
    ),
    "PATCH /chats/{chat_id}/messages/{message_id} · another's": about(**make.FOREIGN, body=make.text),
    "DELETE /chats/{chat_id}/messages/{message_id} · own": about(chat_id=make.chat, message_id=make.own),
    "DELETE /chats/{chat_id}/messages/{message_id} · another's": about(**make.FOREIGN),
    "DELETE /chats/{chat_id}/messages/{message_id} · direct, another's": about(**make.DIRECT),
    "PUT /chats/{chat_id}/messages/{message_id}/reactions/{emoji}": about(**make.FOREIGN, emoji=make.emoji),
    "PUT /chats/{chat_id}/messages/{message_id}/reactions/{emoji} · direct": about(
        **make.DIRECT, emoji=make.emoji
    ),
    "DELETE /chats/{chat_id}/messages/{message_id}/reactions/{emoji}": about(
        **make.FOREIGN, emoji=make.emoji
    ),
    "DELETE /chats/{chat_id}/messages/{message_id}/reactions/{emoji} · direct": about(
        **make.DIRECT, emoji=make.emoji
    ),
    "GET /chats/{chat_id}/pins": about(chat_id=make.chat),
    "PUT /chats/{chat_id}/messages/{message_id}/pin": about(**make.FOREIGN),
    "PUT /chats/{chat_id}/messages/{message_id}/pin · direct": about(**make.DIRECT),
    "DELETE /chats/{chat_id}/messages/{message_id}/pin": about(
        chat_id=make.chat, message_id=lambda s, a: s.pinned()
    ),
    "DELETE /chats/{chat_id}/messages/{message_id}/pin · direct": about(
        chat_id=make.direct, message_id=lambda s, a: s.pinned_in_direct(a)
    ),
    "GET /chats/{chat_id}/messages/{message_id}/versions": about(**make.FOREIGN),
    "POST /chats/{chat_id}/messages/{message_id}/forward": about(**make.FOREIGN, body=make.forward),
    "POST /chats/{chat_id}/messages/{message_id}/forward · into the group": about(
        **make.DIRECT, body=lambda s, a: {"chat_id": s.chat, "client_message_id": s.number()}
    ),
    "POST /chats/{chat_id}/read": about(chat_id=make.chat, body=make.read_up_to),
    "POST /chats/{chat_id}/typing": about(chat_id=make.chat, body=make.fields(is_typing=True)),
    "POST /chats/{chat_id}/typing · direct": about(chat_id=make.direct, body=make.fields(is_typing=True)),
    "GET /presence": about(query=lambda s, a: f"user_ids={s.author}"),
    # -- conversations
    "GET /chats/{chat_id}/threads": about(chat_id=make.chat),
    "GET /chats/{chat_id}/threads/{message_id}": about(chat_id=make.chat, message_id=lambda s, a: s.thread()),
    "POST /chats/{chat_id}/threads/{message_id}/read": Ask(make.thread_read),
    "GET /mentions": plainly(),
    "GET /messages/{message_id}/link": about(message_id=make.said),
    "GET /drafts": plainly(),
    "PUT /chats/{chat_id}/draft": about(chat_id=make.chat, body=make.fields(text="begun")),
    "DELETE /chats/{chat_id}/draft": about(chat_id=make.chat),
    "POST /chats/{chat_id}/scheduled": about(
        chat_id=make.chat, body=lambda s, a: {"content": s.text(), "send_at": "2027-06-01T00:00:00Z"}
    ),
    "GET /scheduled": plainly(),
    "PATCH /scheduled/{scheduled_id} · own": about(scheduled_id=make.scheduled, body=make.text),
    "PATCH /scheduled/{scheduled_id} · another's": about(
        scheduled_id=lambda s, a: s.scheduled(s.author, s.chat), body=make.text
    ),
    "DELETE /scheduled/{scheduled_id} · own": about(scheduled_id=make.scheduled),
    "DELETE /scheduled/{scheduled_id} · another's": about(
        scheduled_id=lambda s, a: s.scheduled(s.author, s.chat)
    ),
    "GET /search/messages": plainly(query="q=hello"),
    "GET /search/messages · a chat": about(query=lambda s, a: f"q=hello&chat_id={s.chat}"),
    # -- moderation
    "POST /chats/{chat_id}/messages/{message_id}/report": about(**make.FOREIGN, body=make.SPAM),
    "POST /chats/{chat_id}/messages/{message_id}/report · own": about(
        chat_id=make.chat, message_id=make.own, body=make.SPAM
    ),
    "POST /users/{user_id}/report": about(user_id=make.person, body=make.SPAM),
    "POST /users/{user_id}/report · oneself": about(user_id=make.oneself, body=make.SPAM),
    "GET /moderation/cases": plainly(),
    "GET /moderation/cases · of the group": about(query=lambda s, a: f"chat_id={s.chat}"),
    "GET /moderation/cases · of a direct chat": about(query=lambda s, a: f"chat_id={s.direct(a)}"),
    "GET /moderation/cases/{case_id}": about(case_id=make.case),
    "POST /moderation/cases/{case_id}/claim": about(case_id=make.case),
    "POST /moderation/cases/{case_id}/claim · claimed": about(
        case_id=lambda s, a: s.case(claimed_by=s.operator)
    ),
    "POST /moderation/cases/{case_id}/release": about(case_id=make.claimed_case),
    "POST /moderation/cases/{case_id}/resolve": about(
        case_id=make.claimed_case, body=make.fields(action="hide")
    ),
    "POST /moderation/cases/{case_id}/resolve · by a ban from the server": about(
        case_id=make.case_of_victim, body=make.fields(action="ban_server")
    ),
    "POST /moderation/cases/{case_id}/dismiss": about(case_id=make.claimed_case, body=make.fields()),
    "PUT /chats/{chat_id}/members/{user_id}/mute": about(
        chat_id=make.chat, user_id=make.victim, body=make.fields()
    ),
    "PUT /chats/{chat_id}/members/{user_id}/mute · the owner": about(
        chat_id=make.chat, user_id=lambda s, a: s.owner, body=make.fields()
    ),
    "PUT /chats/{chat_id}/members/{user_id}/mute · direct": about(
        chat_id=lambda s, a: s.direct_of(a.user_id, s.author) if a.role == "stranger" else s.direct(a),
        user_id=make.person,
        body=make.fields(),
    ),
    "DELETE /chats/{chat_id}/members/{user_id}/mute": about(
        chat_id=make.chat, user_id=lambda s, a: s.muted_victim(a)
    ),
    "DELETE /chats/{chat_id}/members/{user_id}/mute · oneself": about(
        chat_id=make.chat, user_id=make.oneself
    ),
    "POST /chats/{chat_id}/members/{user_id}/kick": about(
        chat_id=make.chat, user_id=make.victim, body=make.fields()
    ),
    "GET /chats/{chat_id}/bans": about(chat_id=make.chat),
    "PUT /chats/{chat_id}/bans/{user_id}": about(chat_id=make.chat, user_id=make.victim, body=make.fields()),
    "PUT /chats/{chat_id}/bans/{user_id} · the owner": about(
        chat_id=make.chat, user_id=lambda s, a: s.owner, body=make.fields()
    ),
    "DELETE /chats/{chat_id}/bans/{user_id}": about(chat_id=make.chat, user_id=make.sanctioned("chat")),
    "PUT /chats/{chat_id}/messages/{message_id}/hidden": about(**make.FOREIGN, body=make.fields()),
    "PUT /chats/{chat_id}/messages/{message_id}/hidden · direct": about(**make.DIRECT, body=make.fields()),
    "DELETE /chats/{chat_id}/messages/{message_id}/hidden": about(
        chat_id=make.chat, message_id=lambda s, a: s.hidden()
    ),
    "GET /moderation/bans": plainly(),
    "PUT /moderation/bans/{user_id}": about(user_id=make.person, body=make.fields()),
    "PUT /moderation/bans/{user_id} · an admin": about(user_id=lambda s, a: s.operator, body=make.fields()),
    "DELETE /moderation/bans/{user_id}": about(user_id=make.sanctioned("bans")),
    "PUT /moderation/mutes/{user_id}": about(user_id=make.person, body=make.fields()),
    "DELETE /moderation/mutes/{user_id}": about(user_id=make.sanctioned("mutes")),
    "POST /moderation/users/{user_id}/kick": about(user_id=make.person, body=make.fields()),
    "GET /moderation/filters": plainly(),
    "POST /moderation/filters": about(body=make.new_filter),
    "PUT /moderation/filters/{filter_id}": about(filter_id=lambda s, a: s.filter_id(), body=make.new_filter),
    "DELETE /moderation/filters/{filter_id}": about(filter_id=lambda s, a: s.filter_id()),
    "GET /moderation/audit": plainly(),
    # -- devices and notifications
    "POST /devices": about(
        body=lambda s, a: {"provider": "fcm", "token": f"a-token-long-enough-{s.number()}"}
    ),
    "GET /devices": plainly(),
    "GET /devices/web-push-key": plainly(),
    "DELETE /devices/{device_id} · own": about(device_id=make.thing("device", "self")),
    "DELETE /devices/{device_id} · another's": about(device_id=make.thing("device", "other")),
    "GET /notifications": plainly(),
    "POST /notifications/read": plainly(),
    "POST /notifications/{notification_id}/read · own": about(
        notification_id=make.thing("notification", "self")
    ),
    "POST /notifications/{notification_id}/read · another's": about(
        notification_id=make.thing("notification", "other")
    ),
    "GET /notifications/settings": plainly(),
    "PATCH /notifications/settings": plainly(body={"preview": False}),
    # -- privacy
    "GET /privacy": plainly(),
    "PATCH /privacy": plainly(body={"last_seen": "shared_chats"}),
    "GET /blocks": plainly(),
    "PUT /blocks/{user_id}": about(user_id=make.person),
    "PUT /blocks/{user_id} · oneself": about(user_id=make.oneself),
    "DELETE /blocks/{user_id}": about(user_id=make.person),
    # -- GPs
    "POST /gp/create": plainly(body=GP),
    "GET /gp/list": plainly(query="latitude=28.6&longitude=77.2"),
    "POST /gp/join": about(body=make.gp),
    "GET /gp/explore": plainly(query="latitude=28.6&longitude=77.2"),
    "POST /gp/permanent-convert": about(body=make.check_gp),
    "GET /gp/check-limits": plainly(),
    "GET /gp/my-gps": plainly(),
    "POST /gp/leave": about(body=make.inside_gp),
    "POST /gp/update-activity": about(body=make.inside_gp),
    "POST /gp/expire": plainly(),
    "GET /gp/{gp_id}": about(gp_id=lambda s, a: s.gp(a, inside=True)),
    # -- admin
    "GET /admin/users/{user_id}": about(user_id=make.person),
    "PUT /admin/users/{user_id}/roles": about(user_id=make.person, body=make.fields(roles=["moderator"])),
    "PUT /admin/users/{user_id}/roles · oneself": about(
        alone=True, user_id=make.oneself, body=make.fields(roles=["moderator", "admin"])
    ),
    "PUT /admin/users/{user_id}/ban": about(user_id=make.person, body=make.fields()),
    "PUT /admin/users/{user_id}/ban · an admin": about(user_id=lambda s, a: s.operator, body=make.fields()),
    "DELETE /admin/users/{user_id}/ban": about(user_id=make.sanctioned("bans")),
    "GET /admin/users/{user_id}/sessions": about(user_id=make.person),
    "DELETE /admin/users/{user_id}/sessions": about(user_id=make.person),
    "DELETE /admin/users/{user_id}/sessions/{session_id}": Ask(make.session_of_victim),
    "GET /admin/users/{user_id} · who is not there": plainly(user_id=f"usr_{NOTHING}"),
    "GET /admin/chats/{chat_id}": about(chat_id=make.chat),
    "GET /admin/chats": about(query=lambda s, a: f"user_id={s.author}"),
    "POST /admin/drain": plainly(),
}
