"""Mail: letters of this server to people, kept in an outbox until an SMTP server has taken them.

Owns mail_outbox. Emits nothing. The lowest room: whoever has to write to somebody uses it.
"""
