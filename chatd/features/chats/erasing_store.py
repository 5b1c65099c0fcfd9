"""SQL that makes a chat as if it had never been."""

from chatd.core.context import Tx
from chatd.core.ids import ChatId


async def hold_scheduled(tx: Tx, chat_id: ChatId) -> None:
    """Wait for what is just being sent in the chat, and let nothing more of it begin."""
    await tx.run(
        """
        SELECT 1 FROM scheduled_messages WHERE chat_id = $1 AND status = 'pending' ORDER BY id FOR UPDATE
        """,
        chat_id,
    )


async def keep_index(tx: Tx) -> None:
    """Wait for the portion that search is indexing, and let it begin no other before this transaction ends:
    an entry that is being made is not there to be deleted yet.
    """
    await tx.run("SELECT pg_advisory_xact_lock(25448, 2)")


async def erase(tx: Tx, chat_id: ChatId) -> None:
    """The chat, its log and its members, in one statement; seats go with the chat."""
    await tx.run(
        """
        WITH messages AS (
            DELETE FROM chat_messages WHERE chat_id = $1 RETURNING id
        ), reactions AS (
            DELETE FROM message_reactions WHERE message_id IN (SELECT id FROM messages)
        ), versions AS (
            DELETE FROM message_versions WHERE message_id IN (SELECT id FROM messages)
        ), mentions AS (
            DELETE FROM message_mentions WHERE message_id IN (SELECT id FROM messages)
        ), threads AS (
            DELETE FROM message_threads WHERE chat_id = $1 RETURNING root_id
        ), replies AS (
            DELETE FROM thread_replies WHERE root_id IN (SELECT root_id FROM threads)
        ), search AS (
            DELETE FROM message_search WHERE chat_id = $1
        ), events AS (
            DELETE FROM chat_events WHERE chat_id = $1
        )
        DELETE FROM chat_chats WHERE id = $1
        """,
        chat_id,
    )
