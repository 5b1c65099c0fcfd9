-- What the log is asked for is found by one index, whatever a planner thinks of its size. And a batch of sends
-- costs what its messages cost: it was compared with itself, line by line.

-- Made first and put in place last: a log is read meanwhile, and only sends wait. Where it is very long, make both by
-- hand before, CONCURRENTLY and under these names, and see that pg_index calls them valid: then this is instant.
CREATE UNIQUE INDEX IF NOT EXISTS chat_messages_client_id_new
    ON chat_messages (uuid_send(chat_id), sender_id, client_message_id);
CREATE INDEX IF NOT EXISTS chat_messages_sent_new ON chat_messages (sent_at);
DROP INDEX chat_messages_client_id;
ALTER INDEX chat_messages_client_id_new RENAME TO chat_messages_client_id;
DROP INDEX chat_messages_sent;
ALTER INDEX chat_messages_sent_new RENAME TO chat_messages_sent;

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
            SELECT i.ord, i.sender_id, d.*, row_number() OVER (PARTITION BY i.chat_id ORDER BY i.ord) AS place
            FROM unnest(p_chat, p_sender) WITH ORDINALITY AS i (chat_id, sender_id, ord)
            JOIN LATERAL (
                SELECT h.direct_low, h.direct_high, h.member_count, h.message_count FROM chat_chats h
                WHERE h.id = i.chat_id AND h.type = 'direct' OFFSET 0
            ) d ON true
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

CREATE OR REPLACE FUNCTION advance_marks(p_chat uuid[], p_user uuid[], p_kind text[], p_message uuid[])
RETURNS TABLE (ord bigint, outcome text, mark_seq bigint, mark_at timestamptz,
               old_receipt_seq bigint, new_receipt_seq bigint, senders uuid[])
LANGUAGE plpgsql
-- As append_messages: nothing is left to choose, and nothing of a batch is joined with the batch.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    this_time timestamptz;
BEGIN
    PERFORM 1 FROM chat_chats c WHERE c.id = ANY (p_chat) ORDER BY c.id FOR NO KEY UPDATE;
    this_time := clock_timestamp();
    RETURN QUERY
    WITH input AS MATERIALIZED (
        SELECT i.chat_id, i.user_id, i.kind, i.message_id, i.ord, m.seq,
               CASE i.kind WHEN 'read' THEN p.last_read_seq ELSE p.last_received_seq END AS old_seq,
               p.user_id IS NOT NULL AS member, c.receipt_seq
        FROM unnest(p_chat, p_user, p_kind, p_message)
             WITH ORDINALITY AS i (chat_id, user_id, kind, message_id, ord)
        LEFT JOIN LATERAL (
            SELECT h.receipt_seq FROM chat_chats h WHERE h.id = i.chat_id OFFSET 0
        ) c ON true
        LEFT JOIN LATERAL (
            SELECT s.user_id, s.last_read_seq, s.last_received_seq FROM chat_participants s
            WHERE s.chat_id = i.chat_id AND s.user_id = i.user_id OFFSET 0
        ) p ON true
        LEFT JOIN LATERAL (     -- "IS TRUE" keeps the chat's index out: by the message's it is one row
            SELECT o.seq FROM chat_messages o
            WHERE o.id = i.message_id AND (o.chat_id = i.chat_id) IS TRUE OFFSET 0
        ) m ON true
    ), furthest AS (    -- the mark that counts, of those of one member and kind; null: none is new
        SELECT i.*, CASE WHEN i.member AND i.seq > i.old_seq
                         THEN first_value(i.ord) OVER (
                             PARTITION BY i.chat_id, i.user_id, i.kind, i.member AND i.seq > i.old_seq
                             ORDER BY i.seq DESC, i.ord) END AS moved_ord
        FROM input i
    ), version AS (
        UPDATE chat_chats c SET receipt_seq = c.receipt_seq + 1
        FROM (SELECT DISTINCT f.chat_id FROM furthest f WHERE f.ord = f.moved_ord) n
        WHERE c.id = ANY (ARRAY[n.chat_id])
    ), moved AS (
        UPDATE chat_participants p SET
            last_read_seq = CASE WHEN n.read_seq IS NULL THEN p.last_read_seq ELSE n.read_seq END,
            last_read_message_id = coalesce(n.read_id, p.last_read_message_id),
            last_read_at = CASE WHEN n.read_seq IS NULL THEN p.last_read_at ELSE this_time END,
            read_receipt_seq = CASE WHEN n.read_seq IS NULL THEN p.read_receipt_seq ELSE n.receipt_seq END,
            last_received_seq = greatest(p.last_received_seq, n.received_seq, n.read_seq),
            last_received_message_id = CASE
                WHEN greatest(n.received_seq, n.read_seq) > p.last_received_seq
                THEN CASE WHEN n.read_seq >= coalesce(n.received_seq, 0) THEN n.read_id ELSE n.received_id END
                ELSE p.last_received_message_id END,
            last_received_at = CASE WHEN greatest(n.received_seq, n.read_seq) > p.last_received_seq
                                    THEN this_time ELSE p.last_received_at END,
            received_receipt_seq = CASE WHEN greatest(n.received_seq, n.read_seq) > p.last_received_seq
                                        THEN n.receipt_seq ELSE p.received_receipt_seq END
        FROM (
            SELECT f.chat_id, f.user_id, f.receipt_seq + 1 AS receipt_seq,
                   max(f.seq) FILTER (WHERE f.kind = 'read') AS read_seq,
                   (array_agg(f.message_id) FILTER (WHERE f.kind = 'read'))[1] AS read_id,
                   max(f.seq) FILTER (WHERE f.kind = 'received') AS received_seq,
                   (array_agg(f.message_id) FILTER (WHERE f.kind = 'received'))[1] AS received_id
            FROM furthest f WHERE f.ord = f.moved_ord
            GROUP BY f.chat_id, f.user_id, f.receipt_seq
        ) n
        WHERE p.chat_id = ANY (ARRAY[n.chat_id]) AND p.user_id = ANY (ARRAY[n.user_id])
    )
    SELECT f.ord,
           CASE WHEN NOT f.member THEN 'chat_not_found'
                WHEN f.seq IS NULL THEN 'message_not_found'
                WHEN f.ord = f.moved_ord THEN 'moved'
                ELSE 'kept' END,
           f.seq,
           CASE WHEN f.ord = f.moved_ord THEN this_time END,
           CASE WHEN f.ord = f.moved_ord THEN f.receipt_seq END,
           CASE WHEN f.ord = f.moved_ord THEN f.receipt_seq + 1 END,
           CASE WHEN f.ord = f.moved_ord AND f.kind = 'received' THEN ARRAY(
               SELECT DISTINCT s.sender_id FROM chat_messages s
               WHERE s.chat_id = f.chat_id AND s.seq > greatest(f.old_seq, f.seq - 1000) AND s.seq <= f.seq
                 AND s.sender_id <> f.user_id)
           END
    FROM furthest f
    ORDER BY f.ord;
END $$;

CREATE OR REPLACE FUNCTION append_conversation(
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
                          WHERE o.chat_id = p_chat[w.ord] AND o.user_id = w.user_id OFFSET 0)
    ), judged AS (
        SELECT i.ord, i.chat_id,
               CASE
                   -- append_messages has the answer: no member, or a repeat, which is right for ever.
                   WHEN p.user_id IS NULL OR EXISTS (
                       SELECT 1 FROM chat_messages m
                       WHERE uuid_send(m.chat_id) = uuid_send(i.chat_id) AND m.sender_id = i.sender_id
                         AND m.client_message_id = i.client_id OFFSET 0
                   ) THEN NULL
                   WHEN i.everybody AND p.role = 'member' THEN 'mention_forbidden'
                   WHEN i.ord IN (SELECT s.ord FROM strangers s) THEN 'mention_not_found'
               END AS verdict
        FROM unnest(p_chat, p_sender, p_client_id, p_everybody)
             WITH ORDINALITY AS i (chat_id, sender_id, client_id, everybody, ord)
        LEFT JOIN LATERAL (
            SELECT s.user_id, s.role FROM chat_participants s
            WHERE s.chat_id = i.chat_id AND s.user_id = i.sender_id OFFSET 0
        ) p ON true
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
    LEFT JOIN LATERAL (
        SELECT m.sender_id, m.content, m.deleted_at, m.moderation_status FROM chat_messages m
        WHERE verdicts[i.ord] = 'sent' AND m.id = p_reply_to[i.ord] OFFSET 0
    ) q ON true
    ORDER BY i.ord;
END $$;
