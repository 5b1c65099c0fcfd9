"""Accounts: who somebody is. Registration, passwords, tokens, sessions, sign-in by OIDC, profiles.

Owns users, user_profiles, user_identities, sessions and refresh_tokens. Emits session.ended through the
node feed, so that every node closes the session's sockets even where Redis forgets to tell it.
"""
