"""Messages: what is said, and what becomes of it. Sends, edits, deletions, reactions, watermarks, history
and the replay of a chat's log.

Owns chat_messages, chat_events, message_reactions and the watermark columns of chat_participants. Emits
message.new, message.update, message.delete (durable, in seq) and delivery.read, delivery.received
(watermarks, in receipt versions). Sources: protocol.md, sections 3, 4 and 6.
"""
