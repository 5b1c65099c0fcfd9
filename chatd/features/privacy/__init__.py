"""Privacy, as people set it: blocks, who sees and writes what, and the requests of strangers.

Owns no table: what it changes lives in the relations room (blocks, settings) and in chats (requests), where
the rooms between read it.
"""
