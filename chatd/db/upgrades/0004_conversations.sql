-- Threads, mentions, pins, versions, settings, drafts, scheduled messages; and search.

ALTER TABLE chat_messages ADD COLUMN pinned_at timestamptz, ADD COLUMN pinned_by uuid;
CREATE INDEX chat_messages_pinned ON chat_messages (chat_id, pinned_at) WHERE pinned_at IS NOT NULL;

------------------------------------------------------------------------------------------ conversations

CREATE TABLE message_versions (                         -- what a message said before it was edited
    message_id   uuid NOT NULL,
    version      integer NOT NULL,
    content      jsonb NOT NULL,
    said_at      timestamptz NOT NULL,
    replaced_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (message_id, version)
);

CREATE TABLE message_threads (                          -- messages that were replied to, over the whole chain
    root_id        uuid PRIMARY KEY,                    -- the message that is itself no reply
    chat_id        uuid NOT NULL,
    reply_count    bigint NOT NULL,                     -- without the deleted ones
    last_seq       bigint NOT NULL,
    last_reply_at  timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX message_threads_chat ON message_threads (chat_id, last_seq);

CREATE TABLE thread_replies (
    root_id     uuid NOT NULL,
    seq         bigint NOT NULL,                        -- of the reply, in its chat's log
    message_id  uuid NOT NULL,
    PRIMARY KEY (root_id, seq)
);
CREATE UNIQUE INDEX thread_replies_message ON thread_replies (message_id);

CREATE TABLE thread_reads (                             -- how far each reader is in a thread
    user_id        uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    root_id        uuid NOT NULL,
    last_read_seq  bigint NOT NULL,
    read_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, root_id)
);

CREATE TABLE message_mentions (
    message_id  uuid NOT NULL,
    user_id     uuid,                                   -- null: everybody in the chat
    chat_id     uuid NOT NULL,
    seq         bigint NOT NULL,
    sender_id   uuid NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX message_mentions_once ON message_mentions (message_id, user_id) NULLS NOT DISTINCT;
CREATE INDEX message_mentions_user ON message_mentions (user_id, message_id) WHERE user_id IS NOT NULL;
CREATE INDEX message_mentions_everybody ON message_mentions (chat_id, seq) WHERE user_id IS NULL;

CREATE TABLE chat_settings (                            -- a member's own wishes; no row: all at their defaults
    user_id        uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    chat_id        uuid NOT NULL REFERENCES chat_chats (id) ON DELETE CASCADE,
    muted_until    timestamptz,                         -- 'infinity': until it is taken back
    pinned_at      timestamptz,
    archived_at    timestamptz,
    notifications  text NOT NULL DEFAULT 'all' CHECK (notifications IN ('all', 'mentions', 'none')),
    PRIMARY KEY (user_id, chat_id)
);
CREATE INDEX chat_settings_chat ON chat_settings (chat_id);

-- A member's settings as the API shows them; null where there are none.
CREATE FUNCTION settings_shown(s chat_settings) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN s.user_id IS NOT NULL THEN jsonb_build_object(
        'muted', coalesce(s.muted_until > clock_timestamp(), false),
        'muted_until', CASE WHEN s.muted_until > clock_timestamp() AND s.muted_until < 'infinity'
                            THEN s.muted_until END,
        'pinned', s.pinned_at IS NOT NULL, 'archived', s.archived_at IS NOT NULL,
        'notifications', s.notifications) END
$$;

CREATE TABLE chat_drafts (
    user_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    chat_id     uuid NOT NULL REFERENCES chat_chats (id) ON DELETE CASCADE,
    text        text NOT NULL,
    reply_to    uuid,
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, chat_id)
);
CREATE INDEX chat_drafts_chat ON chat_drafts (chat_id);

CREATE TABLE scheduled_messages (
    id          uuid PRIMARY KEY,                       -- and the client_message_id that it is sent under
    chat_id     uuid NOT NULL REFERENCES chat_chats (id) ON DELETE CASCADE,
    user_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    content     jsonb NOT NULL,
    reply_to    uuid,
    send_at     timestamptz NOT NULL,
    status      text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'failed')),
    due_at      timestamptz,                            -- send_at, or later after a failed attempt; null: done
    attempts    integer NOT NULL DEFAULT 0,
    message_id  uuid,
    failure     text,                                   -- the code of the error that ended it
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX scheduled_messages_due ON scheduled_messages (due_at) WHERE status = 'pending';
CREATE INDEX scheduled_messages_user ON scheduled_messages (user_id, send_at, id);
CREATE INDEX scheduled_messages_chat ON scheduled_messages (chat_id);

-- What may be quoted of a message: nothing of one that was deleted or hidden.
CREATE FUNCTION quotable(p_content jsonb, p_deleted_at timestamptz, p_status text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_deleted_at IS NULL AND p_status <> 'hidden' THEN left(p_content ->> 'text', 140) END
$$;

-- append_messages for a batch in which somebody replies or mentions. Its further inputs: p_everybody, and
-- the mentions of all inputs as pairs of arrays: the place of the input (from 1), and who is mentioned.
-- Further outcomes: 'mention_not_found' (somebody is not in the chat), 'mention_forbidden' (everybody may
-- be called by moderators only). Further columns: the thread's root, and what the quoted message says now.
CREATE FUNCTION append_conversation(
    p_chat uuid[], p_sender uuid[], p_client_id text[], p_fingerprint bigint[],
    p_id uuid[], p_content text[], p_reply_to uuid[],
    p_status text[], p_reason text[], p_scan boolean,
    p_everybody boolean[], p_mention_ord bigint[], p_mentioned uuid[]
) RETURNS TABLE (ord bigint, outcome text, message_id uuid, message_seq bigint, message_sent_at timestamptz,
                 root uuid, quoted_sender uuid, quoted_text text)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    going uuid[];           -- the chats, null where an input goes no further
    refused text[];
    verdicts text[];
    ids uuid[];
    seqs bigint[];
    times timestamptz[];
    roots uuid[];           -- null for what was not sent now or is no reply
BEGIN
    -- The locks that append_messages would take: members come and go under them, so who is one stays one.
    PERFORM 1 FROM chat_chats c WHERE c.id = ANY (p_chat) ORDER BY c.id FOR NO KEY UPDATE;

    WITH strangers AS MATERIALIZED (
        SELECT DISTINCT w.ord FROM unnest(p_mention_ord, p_mentioned) AS w (ord, user_id)
        WHERE NOT EXISTS (SELECT 1 FROM chat_participants o
                          WHERE o.chat_id = p_chat[w.ord] AND o.user_id = w.user_id)
    ), judged AS (
        SELECT i.ord, i.chat_id,
               CASE
                   -- append_messages has the answer: no member, or a repeat, which is right for ever.
                   WHEN p.user_id IS NULL OR EXISTS (
                       SELECT 1 FROM chat_messages m WHERE m.chat_id = i.chat_id AND m.sender_id = i.sender_id
                                                       AND m.client_message_id = i.client_id
                   ) THEN NULL
                   WHEN i.everybody AND p.role = 'member' THEN 'mention_forbidden'
                   WHEN i.ord IN (SELECT s.ord FROM strangers s) THEN 'mention_not_found'
               END AS verdict
        FROM unnest(p_chat, p_sender, p_client_id, p_everybody)
             WITH ORDINALITY AS i (chat_id, sender_id, client_id, everybody, ord)
        LEFT JOIN chat_participants p ON p.chat_id = i.chat_id AND p.user_id = i.sender_id
    )
    SELECT array_agg(j.verdict ORDER BY j.ord),
           array_agg(CASE WHEN j.verdict IS NULL THEN j.chat_id END ORDER BY j.ord)
    INTO refused, going FROM judged j;

    SELECT array_agg(coalesce(refused[a.ord], a.outcome) ORDER BY a.ord), array_agg(a.message_id ORDER BY a.ord),
           array_agg(a.message_seq ORDER BY a.ord), array_agg(a.message_sent_at ORDER BY a.ord)
    INTO verdicts, ids, seqs, times
    FROM append_messages(going, p_sender, p_client_id, p_fingerprint, p_id, p_content, p_reply_to,
                         p_status, p_reason, p_scan) a;

    SELECT array_agg(CASE WHEN verdicts[i.ord] = 'sent' AND i.reply_to IS NOT NULL
                          THEN coalesce((SELECT t.root_id FROM thread_replies t WHERE t.message_id = i.reply_to),
                                        i.reply_to) END ORDER BY i.ord)
    INTO roots FROM unnest(p_reply_to) WITH ORDINALITY AS i (reply_to, ord);

    INSERT INTO thread_replies AS t (root_id, seq, message_id)
    SELECT roots[i.ord], seqs[i.ord], ids[i.ord] FROM generate_subscripts(ids, 1) AS i (ord)
    WHERE roots[i.ord] IS NOT NULL;

    INSERT INTO message_threads AS t (root_id, chat_id, reply_count, last_seq, last_reply_at)
    SELECT roots[i.ord], going[i.ord], count(*), max(seqs[i.ord]), max(times[i.ord])
    FROM generate_subscripts(ids, 1) AS i (ord)
    WHERE roots[i.ord] IS NOT NULL
    GROUP BY roots[i.ord], going[i.ord]
    ON CONFLICT (root_id) DO UPDATE SET reply_count = t.reply_count + EXCLUDED.reply_count,
                                        last_seq = EXCLUDED.last_seq, last_reply_at = EXCLUDED.last_reply_at;

    INSERT INTO message_mentions AS n (message_id, user_id, chat_id, seq, sender_id)
    SELECT ids[w.ord], w.user_id, going[w.ord], seqs[w.ord], p_sender[w.ord]
    FROM (
        SELECT DISTINCT m.ord, m.user_id FROM unnest(p_mention_ord, p_mentioned) AS m (ord, user_id)
        UNION ALL
        SELECT e.ord, NULL FROM unnest(p_everybody) WITH ORDINALITY AS e (everybody, ord) WHERE e.everybody
    ) w
    WHERE verdicts[w.ord] = 'sent';

    RETURN QUERY
    SELECT i.ord::bigint, verdicts[i.ord], ids[i.ord], seqs[i.ord], times[i.ord], roots[i.ord],
           q.sender_id, quotable(q.content, q.deleted_at, q.moderation_status)
    FROM generate_subscripts(verdicts, 1) AS i (ord)
    LEFT JOIN chat_messages q ON verdicts[i.ord] = 'sent' AND q.id = p_reply_to[i.ord]
    ORDER BY i.ord;
END $$;

----------------------------------------------------------------------------------------------- search

-- What can be searched, filled a second behind by a job, so that a send pays nothing. A search asks the
-- message itself before it shows it: an entry that is behind finds nothing that is not so.
CREATE TABLE message_search (
    message_id   uuid PRIMARY KEY,
    chat_id      uuid NOT NULL,
    sent_at      timestamptz NOT NULL,
    updated_seq  bigint NOT NULL,                       -- of the message when it was read
    document     tsvector NOT NULL
);
CREATE INDEX message_search_document ON message_search USING gin (document) WITH (gin_pending_list_limit = 512);
CREATE INDEX message_search_chat ON message_search (chat_id, message_id);

CREATE TABLE search_cursor (                            -- one row: everything before this id was read
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    message_id  uuid NOT NULL
);

-- Words, and what else a search asks for, as lexemes that no text gives.
CREATE FUNCTION search_document(p_content jsonb, p_chat uuid, p_sender uuid) RETURNS tsvector
LANGUAGE sql IMMUTABLE AS $$
    SELECT to_tsvector('simple'::regconfig, coalesce(p_content ->> 'text', ''))
        || array_to_tsvector(array_remove(ARRAY[
               'in:' || p_chat::text, 'from:' || p_sender::text,
               CASE WHEN p_content -> 'attachments' <> '[]'::jsonb THEN 'has:attachment' END], NULL))
$$;

-- An edit or a deletion reaches the entry in its own transaction.
CREATE FUNCTION message_search_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.deleted_at IS NOT NULL THEN
        DELETE FROM message_search s WHERE s.message_id = NEW.id;
    ELSE
        UPDATE message_search s SET document = search_document(NEW.content, NEW.chat_id, NEW.sender_id)
        WHERE s.message_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER message_search_follow AFTER UPDATE OF content, deleted_at ON chat_messages
    FOR EACH ROW EXECUTE FUNCTION message_search_follow();

-- What was replied to before there were threads.
WITH RECURSIVE chain AS (
    SELECT m.id AS root_id, m.id FROM chat_messages m
    WHERE m.reply_to IS NULL AND m.id IN (SELECT r.reply_to FROM chat_messages r WHERE r.reply_to IS NOT NULL)
    UNION ALL
    SELECT c.root_id, m.id FROM chain c JOIN chat_messages m ON m.reply_to = c.id
)
INSERT INTO thread_replies (root_id, seq, message_id)
SELECT c.root_id, m.seq, m.id FROM chain c JOIN chat_messages m ON m.id = c.id WHERE c.id <> c.root_id;

INSERT INTO message_threads (root_id, chat_id, reply_count, last_seq, last_reply_at)
SELECT t.root_id, m.chat_id, count(*) FILTER (WHERE m.deleted_at IS NULL), max(m.seq), max(m.sent_at)
FROM thread_replies t JOIN chat_messages m ON m.id = t.message_id
GROUP BY t.root_id, m.chat_id;
