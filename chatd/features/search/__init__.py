"""Search in one's chats, by PostgreSQL's full text: text, sender, chat, date, attachments.

Owns message_search, search_cursor and search_again. A job fills them a second behind the log, so that a send
pays nothing; edits and deletions reach them in their own transaction (a trigger of chat_messages). Emits
nothing.
"""
