"""Presence and typing: who is there, and who writes.

Owns no table; last_active_at of users is written through the accounts room. Emits presence.state,
presence.update, typing.start and typing.stop, all worth only their newest value (protocol.md, section 5).
"""
