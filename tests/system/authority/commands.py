"""How each command of the table is asked, on the open socket and on that of one chat; labels as in routes."""

from tests.system.authority import making as make
from tests.system.authority.asks import Ask, about, plainly
from tests.system.authority.scene import NOTHING

COMMANDS: dict[str, Ask] = {
    "message.send": about(
        chat_id=make.chat, client_message_id=lambda s, a: s.number(), content=lambda s, a: s.text()
    ),
    "message.send · direct": about(
        chat_id=make.direct, client_message_id=lambda s, a: s.number(), content=lambda s, a: s.text()
    ),
    "message.edit · own": about(chat_id=make.chat, message_id=make.own, content=lambda s, a: s.text()),
    "message.edit · another's": about(**make.FOREIGN, content=lambda s, a: s.text()),
    "message.delete · own": about(chat_id=make.chat, message_id=make.own),
    "message.delete · another's": about(**make.FOREIGN),
    "message.delete · direct, another's": about(**make.DIRECT),
    "reaction.add": about(**make.FOREIGN, emoji=make.emoji),
    "reaction.add · direct": about(**make.DIRECT, emoji=make.emoji),
    "reaction.remove": about(**make.FOREIGN, emoji=make.emoji),
    "reaction.remove · direct": about(**make.DIRECT, emoji=make.emoji),
    "delivery.read": about(chat_id=make.chat, last_read_message_id=make.said),
    "delivery.received": about(chat_id=make.chat, message_id=make.said),
    "sync": about(chat_id=make.chat, after_seq=lambda s, a: 0, limit=lambda s, a: 10),
    "typing.start": about(chat_id=make.chat),
    "typing.start · direct": about(chat_id=make.direct),
    "typing.stop": about(chat_id=make.chat),
    "presence.set": plainly(status="away"),
    "presence.watch": about(user_ids=lambda s, a: [s.author]),
    "draft.set": about(chat_id=make.chat, text=lambda s, a: "begun"),
    "gp.watch": plainly(latitude=28.6, longitude=77.2),
    "gp.unwatch": plainly(),
    "auth.refresh · one's own token": about(token=lambda s, a: s.token(a) if a.user_id else "none"),
    "auth.refresh · another's token": about(token=lambda s, a: s.world.token(s.author)),
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
        chat_id=make.chat,
        client_message_id=lambda s, a: s.number(),
        content=lambda s, a: s.text(),
    ),
    "sync · no chat": about(
        path=lambda s, a: f"/chats/cht_{NOTHING}", after_seq=lambda s, a: 0, limit=lambda s, a: 10
    ),
}
