"""Conversations: what members keep beside the log. Threads and how far one has read them, mentions of
oneself, drafts over one's devices, messages to be sent later, links to messages.

Owns thread_reads, chat_drafts and scheduled_messages; reads message_threads, thread_replies and
message_mentions, which messages write as they are sent. Emits thread.read, draft.updated and
scheduled.updated, each to the user's own devices.
"""
