"""Audit: who did what to whom with a moderator's or an admin's power. Written beside the deed, never changed.

Owns audit_log, which takes no UPDATE or DELETE (the schema revokes both, and a trigger refuses them).
"""
