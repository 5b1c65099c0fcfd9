-- Searching messages; an index for forgetting what was scheduled.

CREATE INDEX scheduled_messages_done ON scheduled_messages (send_at) WHERE status <> 'pending';

-- The first id (UUIDv7) of a time; null for null.
CREATE FUNCTION uuid_at(p_time timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(greatest(0, (extract(epoch FROM p_time) * 1000)::bigint)), 12, '0')
            || '00000000000000000000')::uuid
$$;

-- The newest messages that match, of the chats that p_user is in: who may not read a message does not find
-- it, nor one that was deleted or hidden. p_text null: whatever the text. p_below: the last one seen.
--   1. Up to p_most matches by the words' index, sorted: rare words, or few messages.
--   2. More match, so they lie close together: walk back from the newest until the page is full, by chat or
--      over all chats, whichever looks shorter.
CREATE FUNCTION search_messages(
    p_user uuid, p_text text, p_chat uuid, p_sender uuid, p_attached boolean,
    p_from timestamptz, p_until timestamptz, p_below uuid, p_limit integer, p_most integer
) RETURNS TABLE (found uuid)
LANGUAGE plpgsql STABLE
-- Planned for the words at hand, of which the statistics know the common ones.
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    said tsquery := websearch_to_tsquery('simple', p_text);
    asked tsquery;          -- the words, and what else the index knows
    mine uuid[];
    own bigint;             -- messages in these chats
    by_chat bigint;         -- how far a walk by chat goes, at worst
    everything float8;      -- messages in all chats
    matches uuid[];
    -- Ids are of their time, give or take what clocks differ.
    low uuid := coalesce(uuid_at(p_from - interval '10 minutes'), '00000000-0000-0000-0000-000000000000');
    below uuid := least(p_below, uuid_at(p_until + interval '10 minutes'),
                        'ffffffff-ffff-ffff-ffff-ffffffffffff');
BEGIN
    IF p_text IS NOT NULL AND numnode(said) = 0 THEN RETURN; END IF;   -- no word in it
    SELECT array_agg(c.id), sum(c.message_count),
           sum(least(c.message_count, p_limit * greatest(s.total, 1) / p_most)), max(s.total)
    INTO mine, own, by_chat, everything
    FROM chat_participants p
    JOIN chat_chats c ON c.id = p.chat_id
    CROSS JOIN (SELECT greatest(t.reltuples, 0)::float8 AS total FROM pg_class t
                WHERE t.oid = 'message_search'::regclass) s
    WHERE p.user_id = p_user AND (p_chat IS NULL OR p.chat_id = p_chat);
    IF mine IS NULL THEN RETURN; END IF;

    asked := coalesce(said, ''::tsquery);
    IF p_chat IS NOT NULL THEN asked := asked && quote_literal('in:' || p_chat)::tsquery; END IF;
    IF p_sender IS NOT NULL THEN asked := asked && quote_literal('from:' || p_sender)::tsquery; END IF;
    IF p_attached THEN asked := asked && '''has:attachment'''::tsquery; END IF;

    IF numnode(asked) > 0 THEN
        SELECT array_agg(h.message_id) INTO matches FROM (
            SELECT s.message_id FROM message_search s
            WHERE s.document @@ asked AND s.message_id < below AND s.message_id >= low
              AND (p_from IS NULL OR s.sent_at >= p_from) AND (p_until IS NULL OR s.sent_at < p_until)
            LIMIT p_most + 1
        ) h;
        IF coalesce(cardinality(matches), 0) <= p_most THEN
            RETURN QUERY
            SELECT h.id FROM (SELECT u.id FROM unnest(matches) AS u (id) ORDER BY u.id DESC) h
            JOIN chat_messages m ON m.id = h.id
            WHERE m.chat_id = ANY (mine) AND searchable(m.content, m.deleted_at, m.moderation_status, said)
            ORDER BY h.id DESC LIMIT p_limit;
            RETURN;
        END IF;
    END IF;

    -- "IS TRUE" keeps the words' index out of it: the order is what counts here.
    IF by_chat <= p_limit * everything / p_most * everything / greatest(own, 1) THEN
        RETURN QUERY
        SELECT h.message_id FROM unnest(mine) AS c (id) CROSS JOIN LATERAL (
            SELECT s.message_id FROM message_search s JOIN chat_messages m ON m.id = s.message_id
            WHERE s.chat_id = c.id AND s.message_id < below AND s.message_id >= low
              AND (s.document @@ asked OR numnode(asked) = 0) IS TRUE
              AND (p_from IS NULL OR s.sent_at >= p_from) AND (p_until IS NULL OR s.sent_at < p_until)
              AND searchable(m.content, m.deleted_at, m.moderation_status, said)
            ORDER BY s.message_id DESC LIMIT p_limit
        ) h
        ORDER BY h.message_id DESC LIMIT p_limit;
    ELSE
        RETURN QUERY
        SELECT s.message_id FROM message_search s JOIN chat_messages m ON m.id = s.message_id
        WHERE s.message_id < below AND s.message_id >= low AND s.chat_id = ANY (mine)
          AND (s.document @@ asked OR numnode(asked) = 0) IS TRUE
          AND (p_from IS NULL OR s.sent_at >= p_from) AND (p_until IS NULL OR s.sent_at < p_until)
          AND searchable(m.content, m.deleted_at, m.moderation_status, said)
        ORDER BY s.message_id DESC LIMIT p_limit;
    END IF;
END $$;

-- Whether a message may be found, and says what was asked for now.
CREATE FUNCTION searchable(p_content jsonb, p_deleted_at timestamptz, p_status text, p_said tsquery)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT p_deleted_at IS NULL AND p_status <> 'hidden'
       AND (p_said IS NULL OR to_tsvector('simple'::regconfig, coalesce(p_content ->> 'text', '')) @@ p_said)
$$;
