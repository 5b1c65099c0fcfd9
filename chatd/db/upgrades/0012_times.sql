-- No two messages of a chat share a time: paging by times alone lost those of one batch that a page's end
-- fell into.

CREATE OR REPLACE FUNCTION append_messages(
    p_chat uuid[], p_sender uuid[], p_client_id text[], p_fingerprint bigint[],
    p_id uuid[], p_content text[], p_reply_to uuid[],
    p_status text[] DEFAULT NULL, p_reason text[] DEFAULT NULL, p_scan boolean DEFAULT false
) RETURNS TABLE (ord bigint, outcome text, message_id uuid, message_seq bigint, message_sent_at timestamptz)
LANGUAGE plpgsql
-- The plan is made once a connection, perhaps on empty tables: only index look-ups stay right as they grow.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = auto
AS $$
DECLARE
    directs uuid[];     -- the direct chats among them
    closed bigint[];    -- the places of sends that the other side of a direct chat does not want
BEGIN
    -- To plan anew for the sizes of the arrays costs as much as to store one message: worth it for many only.
    PERFORM set_config('plan_cache_mode', CASE WHEN cardinality(p_chat) < 10 THEN 'force_generic_plan'
                                               ELSE 'auto' END, true);
    -- Locks in id order, so that two batches cannot wait for each other. The statements after this one
    -- take their snapshots after the locks, so they see whatever the last holders committed.
    SELECT array_agg(l.id) FILTER (WHERE l.type = 'direct') INTO directs
    FROM (SELECT c.id, c.type FROM chat_chats c WHERE c.id = ANY (p_chat) ORDER BY c.id FOR NO KEY UPDATE) l;
    IF directs IS NOT NULL THEN
        SELECT array_agg(i.ord) INTO closed
        FROM unnest(p_chat, p_sender) WITH ORDINALITY AS i (chat_id, sender_id, ord)
        JOIN chat_chats c ON c.id = i.chat_id AND c.type = 'direct'
        WHERE EXISTS (SELECT 1 FROM user_blocks b
                      WHERE b.blocker_id IN (c.direct_low, c.direct_high)
                        AND b.blocked_id IN (c.direct_low, c.direct_high))
           OR EXISTS (SELECT 1 FROM user_privacy y
                      WHERE y.user_id = CASE i.sender_id WHEN c.direct_low THEN c.direct_high
                                                         ELSE c.direct_low END
                        AND y.messages_from = 'nobody')
           -- The other side has not let the chat in yet: a request says a few words, no more.
           OR (c.member_count < 2 AND c.message_count >= 5);
    END IF;
    RETURN QUERY
    WITH input AS (
        SELECT i.*
        FROM unnest(p_chat, p_sender, p_client_id, p_fingerprint, p_id, p_content, p_reply_to)
             WITH ORDINALITY AS i (chat_id, sender_id, client_id, fingerprint, id, content, reply_to, ord)
    ), judged AS (
        SELECT i.*, m.id AS old_id, m.seq AS old_seq, m.sent_at AS old_sent_at,
               CASE
                   WHEN p.user_id IS NULL THEN 'chat_not_found'
                   WHEN m.id IS NOT NULL AND m.fingerprint <> i.fingerprint THEN 'conflict'
                   WHEN m.id IS NOT NULL THEN 'repeat'
                   WHEN c.read_only THEN 'read_only'
                   WHEN p.muted_until > clock_timestamp() THEN 'muted'
                   WHEN i.ord = ANY (closed) THEN 'blocked'
                   WHEN p_status[i.ord] IN ('refused', 'silenced') THEN p_status[i.ord]
                   WHEN i.reply_to IS NOT NULL AND NOT EXISTS (
                       SELECT 1 FROM chat_messages r WHERE r.id = i.reply_to AND r.chat_id = i.chat_id
                   ) THEN 'reply_not_found'
                   ELSE 'sent'
               END AS verdict
        FROM input i
        LEFT JOIN chat_chats c ON c.id = i.chat_id
        LEFT JOIN chat_participants p ON p.chat_id = i.chat_id AND p.user_id = i.sender_id
        LEFT JOIN chat_messages m ON m.chat_id = i.chat_id AND m.sender_id = i.sender_id
                                 AND m.client_message_id = i.client_id
    ), first AS (   -- the same client id twice in one batch: the first is sent, the second repeats it
        SELECT DISTINCT ON (j.chat_id, j.sender_id, j.client_id) j.*
        FROM judged j WHERE j.verdict = 'sent'
        ORDER BY j.chat_id, j.sender_id, j.client_id, j.ord
    ), head AS (
        UPDATE chat_chats c
        SET head_seq = c.head_seq + n.count,
            message_count = c.message_count + n.count,
            -- A microsecond for each, after all that was said before: no two messages of a chat share a
            -- time, so that paging by times leaves none out.
            last_event_at = greatest(c.last_event_at + interval '1 microsecond', clock_timestamp())
                          + (n.count - 1) * interval '1 microsecond'
        FROM (SELECT f.chat_id, count(*) AS count FROM first f GROUP BY f.chat_id) n
        WHERE c.id = n.chat_id
        RETURNING c.id, c.head_seq AS last, c.head_seq - n.count AS base, c.last_event_at AS at
    ), stored AS (
        INSERT INTO chat_messages (chat_id, seq, updated_seq, id, sender_id, client_message_id,
                                   fingerprint, content, reply_to, sent_at, moderation_status)
        SELECT n.chat_id, n.seq, n.seq, n.id, n.sender_id, n.client_id,
               n.fingerprint, n.content::jsonb, n.reply_to, n.at - (n.last - n.seq) * interval '1 microsecond',
               coalesce(p_status[n.ord], 'visible')
        FROM (
            SELECT f.*, h.at, h.last,
                   h.base + row_number() OVER (PARTITION BY f.chat_id ORDER BY f.ord) AS seq
            FROM first f JOIN head h ON h.id = f.chat_id
        ) n
        RETURNING chat_messages.chat_id, chat_messages.seq, chat_messages.id, chat_messages.sender_id,
                  chat_messages.client_message_id, chat_messages.fingerprint, chat_messages.sent_at
    )
    SELECT j.ord,
           CASE WHEN s.id IS NULL OR s.id = j.id THEN j.verdict
                WHEN s.fingerprint = j.fingerprint THEN 'repeat' ELSE 'conflict' END,
           coalesce(s.id, j.old_id), coalesce(s.seq, j.old_seq), coalesce(s.sent_at, j.old_sent_at)
    FROM judged j
    LEFT JOIN stored s ON j.verdict = 'sent' AND s.chat_id = j.chat_id AND s.sender_id = j.sender_id
                      AND s.client_message_id = j.client_id
    ORDER BY j.ord;
    IF p_status IS NOT NULL THEN
        INSERT INTO moderation_cases (id, subject, subject_id, chat_id, author_id, source, reason, snapshot)
        SELECT gen_random_uuid(), 'message', m.id, m.chat_id, m.sender_id, 'filter', i.reason, m.content
        FROM unnest(p_id, p_status, p_reason) AS i (id, status, reason) JOIN chat_messages m ON m.id = i.id
        WHERE i.status IN ('flagged', 'hidden');
    END IF;
    IF p_scan THEN
        INSERT INTO moderation_scans (message_id)
        SELECT m.id FROM unnest(p_id) AS i (id) JOIN chat_messages m ON m.id = i.id;
    END IF;
END $$;
