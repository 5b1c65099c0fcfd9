-- Who goes is found in every table by an index.
CREATE INDEX message_requests_of ON message_requests (to_id);
CREATE INDEX chat_bans_user ON chat_bans (user_id);

-- Of the few words of a stranger those are counted once that come again because their answer was lost.
CREATE OR REPLACE FUNCTION append_messages(
    p_chat uuid[], p_sender uuid[], p_client_id text[], p_fingerprint bigint[],
    p_id uuid[], p_content text[], p_reply_to uuid[],
    p_status text[] DEFAULT NULL, p_reason text[] DEFAULT NULL, p_scan boolean DEFAULT false
) RETURNS TABLE (ord bigint, outcome text, message_id uuid, message_seq bigint, message_sent_at timestamptz)
LANGUAGE plpgsql
-- The plan is made once a connection, perhaps on tables with a row or two, where to read all of them looks best.
-- So nothing is left to choose: whatever is looked up is looked up alone (LATERAL … OFFSET 0, or "= ANY", by
-- which a planner can neither sort nor hash), and one index alone will do. And nothing else is joined: sends
-- of a batch are told apart by windows, so that a batch costs what its messages cost.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    directs uuid[];     -- the direct chats among them
    closed bigint[];    -- the places of sends that the other side of a direct chat does not want
    this_time timestamptz;
BEGIN
    -- Locks in id order, so that two batches cannot wait for each other. The statements after this one
    -- take their snapshots after the locks, so they see whatever the last holders committed.
    SELECT array_agg(l.id) FILTER (WHERE l.type = 'direct') INTO directs
    FROM (SELECT c.id, c.type FROM chat_chats c WHERE c.id = ANY (p_chat) ORDER BY c.id FOR NO KEY UPDATE) l;
    IF directs IS NOT NULL THEN
        SELECT array_agg(c.ord) INTO closed
        FROM (
            SELECT i.ord, i.sender_id, d.*,
                   count(*) FILTER (WHERE NOT r.said) OVER (PARTITION BY i.chat_id ORDER BY i.ord) AS place
            FROM unnest(p_chat, p_sender, p_client_id) WITH ORDINALITY AS i (chat_id, sender_id, client_id, ord)
            JOIN LATERAL (
                SELECT h.direct_low, h.direct_high, h.member_count, h.message_count FROM chat_chats h
                WHERE h.id = i.chat_id AND h.type = 'direct' OFFSET 0
            ) d ON true
            CROSS JOIN LATERAL (    -- what was said before, and comes again, is counted already
                SELECT CASE WHEN d.member_count < 2 THEN EXISTS (
                    SELECT 1 FROM chat_messages o
                    WHERE uuid_send(o.chat_id) = uuid_send(i.chat_id) AND o.sender_id = i.sender_id
                      AND o.client_message_id = i.client_id OFFSET 0) ELSE false END AS said OFFSET 0
            ) r
        ) c
        WHERE EXISTS (SELECT 1 FROM user_blocks b
                      WHERE b.blocker_id IN (c.direct_low, c.direct_high)
                        AND b.blocked_id IN (c.direct_low, c.direct_high))
           OR EXISTS (SELECT 1 FROM user_privacy y
                      WHERE y.user_id = CASE c.sender_id WHEN c.direct_low THEN c.direct_high
                                                         ELSE c.direct_low END
                        AND y.messages_from = 'nobody' OFFSET 0)
           -- The other side has not let the chat in yet: a request says a few words, no more.
           OR (c.member_count < 2 AND c.message_count + c.place > 5);
    END IF;
    this_time := clock_timestamp();
    RETURN QUERY
    WITH judged AS (
        SELECT i.*, c.head_seq, m.id AS old_id, m.seq AS old_seq, m.sent_at AS old_sent_at,
               -- A microsecond for each, after all that was said before: no two messages of a chat share a
               -- time, so that paging by times leaves none out.
               greatest(c.last_event_at + interval '1 microsecond', this_time) AS first_at,
               CASE
                   WHEN p.user_id IS NULL THEN 'chat_not_found'
                   WHEN m.id IS NOT NULL AND m.fingerprint <> i.fingerprint THEN 'conflict'
                   WHEN m.id IS NOT NULL THEN 'repeat'
                   WHEN c.read_only THEN 'read_only'
                   WHEN p.muted_until > clock_timestamp() THEN 'muted'
                   WHEN i.ord = ANY (closed) THEN 'blocked'
                   WHEN i.status IN ('refused', 'silenced') THEN i.status
                   WHEN i.reply_to IS NOT NULL AND NOT EXISTS (
                       -- "IS TRUE" keeps the chat's index out: by the message's it is one row.
                       SELECT 1 FROM chat_messages r
                       WHERE r.id = i.reply_to AND (r.chat_id = i.chat_id) IS TRUE OFFSET 0
                   ) THEN 'reply_not_found'
                   ELSE 'sent'
               END AS verdict
        FROM unnest(p_chat, p_sender, p_client_id, p_fingerprint, p_id, p_content, p_reply_to, p_status)
             WITH ORDINALITY AS i (chat_id, sender_id, client_id, fingerprint, id, content, reply_to, status, ord)
        LEFT JOIN LATERAL (
            SELECT h.head_seq, h.last_event_at, h.read_only FROM chat_chats h WHERE h.id = i.chat_id OFFSET 0
        ) c ON true
        LEFT JOIN LATERAL (
            SELECT s.user_id, s.muted_until FROM chat_participants s
            WHERE s.chat_id = i.chat_id AND s.user_id = i.sender_id OFFSET 0
        ) p ON true
        LEFT JOIN LATERAL (
            SELECT o.id, o.seq, o.sent_at, o.fingerprint FROM chat_messages o
            WHERE uuid_send(o.chat_id) = uuid_send(i.chat_id) AND o.sender_id = i.sender_id
              AND o.client_message_id = i.client_id OFFSET 0
        ) m ON true
    ), told AS (    -- the same client id twice in one batch: the first is sent, the second repeats it
        SELECT j.*, first_value(j.ord) OVER same AS first_ord, first_value(j.id) OVER same AS first_id,
               first_value(j.fingerprint) OVER same AS first_fingerprint
        FROM judged j
        WINDOW same AS (PARTITION BY j.chat_id, j.sender_id, j.client_id, j.verdict = 'sent' ORDER BY j.ord)
    ), placed AS (  -- how many of the chat's new messages there are up to each; a repeat has its first's place
        SELECT t.*, count(*) FILTER (WHERE t.verdict = 'sent' AND t.ord = t.first_ord)
                    OVER (PARTITION BY t.chat_id ORDER BY t.first_ord) AS place
        FROM told t
    ), head AS (
        UPDATE chat_chats c
        SET head_seq = c.head_seq + n.count,
            message_count = c.message_count + n.count,
            last_event_at = n.first_at + (n.count - 1) * interval '1 microsecond'
        FROM (SELECT d.chat_id, d.first_at, max(d.place) AS count FROM placed d WHERE d.verdict = 'sent'
              GROUP BY d.chat_id, d.first_at) n
        WHERE c.id = ANY (ARRAY[n.chat_id])
    ), stored AS (
        INSERT INTO chat_messages (chat_id, seq, updated_seq, id, sender_id, client_message_id,
                                   fingerprint, content, reply_to, sent_at, moderation_status)
        SELECT d.chat_id, d.head_seq + d.place, d.head_seq + d.place, d.id, d.sender_id, d.client_id,
               d.fingerprint, d.content::jsonb, d.reply_to,
               d.first_at + (d.place - 1) * interval '1 microsecond', coalesce(d.status, 'visible')
        FROM placed d WHERE d.verdict = 'sent' AND d.ord = d.first_ord
    )
    SELECT d.ord,
           CASE WHEN d.verdict <> 'sent' OR d.ord = d.first_ord THEN d.verdict
                WHEN d.fingerprint = d.first_fingerprint THEN 'repeat' ELSE 'conflict' END,
           CASE d.verdict WHEN 'sent' THEN d.first_id ELSE d.old_id END,
           CASE d.verdict WHEN 'sent' THEN d.head_seq + d.place ELSE d.old_seq END,
           CASE d.verdict WHEN 'sent' THEN d.first_at + (d.place - 1) * interval '1 microsecond'
                          ELSE d.old_sent_at END
    FROM placed d
    ORDER BY d.ord;
    IF p_status IS NOT NULL THEN
        INSERT INTO moderation_cases (id, subject, subject_id, chat_id, author_id, source, reason, snapshot)
        SELECT gen_random_uuid(), 'message', m.id, m.chat_id, m.sender_id, 'filter', i.reason, m.content
        FROM unnest(p_id, p_status, p_reason) AS i (id, status, reason)
        JOIN chat_messages m ON m.id = ANY (ARRAY[i.id])
        WHERE i.status IN ('flagged', 'hidden');
    END IF;
    IF p_scan THEN
        INSERT INTO moderation_scans (message_id)
        SELECT m.id FROM unnest(p_id) AS i (id) JOIN chat_messages m ON m.id = ANY (ARRAY[i.id]);
    END IF;
END $$;
