"""Moderation: reports and the queue of cases, what moderators may do, the filters that texts go through
before they are stored, and the outside classifier that sees them after.

Owns moderation_cases, moderation_reports, moderation_filters, moderation_scans and server_mutes. Emits
system.moderation (through the messages room), chat.muted, and through the node feed chat.left (banned) and
user.banned. Every deed is written into the audit log, in its transaction.
"""
