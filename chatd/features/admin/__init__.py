"""Admin: roles, bans, sessions, chats' heads, draining; each deed in the audit log, in its own transaction.

Owns no tables, emits no events: accounts and chats own what it changes, and node_feed tells every node.
"""
