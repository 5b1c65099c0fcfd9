"""Relations: who is hidden from whom, and who may write to whom. The lowest room: every other may ask it.

Owns user_blocks and user_privacy; append_messages reads both for direct chats. Owns chat_secretive too, which
triggers keep: of each chat, those who show nobody what they have read. Emits users.hidden through the node
feed: a pair that is to see nothing of each other from now on. The privacy room is what people call.
"""
