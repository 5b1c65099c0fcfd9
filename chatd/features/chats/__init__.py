"""Chats: who talks where. Conversations, their members and roles, and the seq of their logs.

Owns chat_chats, chat_participants and the giving-out of seq (append_event, append_system); the messages
room fills the log. Emits chat.joined, chat.left, chat.updated (through the node feed, so that no node
misses one) and system messages for joins, leaves and renames.
"""
