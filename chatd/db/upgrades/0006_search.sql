-- Searching messages; an index for forgetting what was scheduled.

CREATE INDEX scheduled_messages_done ON scheduled_messages (send_at) WHERE status <> 'pending';

-- The text as it is read for words. What looks like a tag is something that somebody wrote.
CREATE FUNCTION search_text(p_content jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT translate(coalesce(p_content ->> 'text', ''), '<>', '  ')
$$;

CREATE OR REPLACE FUNCTION search_document(p_content jsonb, p_chat uuid, p_sender uuid) RETURNS tsvector
LANGUAGE sql IMMUTABLE AS $$
    SELECT to_tsvector('simple'::regconfig, search_text(p_content))
        || array_to_tsvector(array_remove(ARRAY[
               'in:' || p_chat::text, 'from:' || p_sender::text,
               CASE WHEN p_content -> 'attachments' <> '[]'::jsonb THEN 'has:attachment' END], NULL))
$$;

-- The first id (UUIDv7) of a time; null for null.
CREATE FUNCTION uuid_at(p_time timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT (lpad(to_hex(greatest(0, (extract(epoch FROM p_time) * 1000)::bigint)), 12, '0')
            || '00000000000000000000')::uuid
$$;

-- The newest messages that match, of the chats that p_user is in: who may not read a message does not find
-- it, nor one that was deleted or hidden. p_text null: whatever the text. p_below: the last one seen.
--   1. Words that few messages have (the planner's guess, then a count up to p_most): all matches, sorted.
--   2. Common words, few messages in the user's chats: the same, with the chats in the question.
--   3. Common words, so the matches lie close together: walk back from the newest until the page is full,
--      chat by chat or over all chats, whichever looks shorter.
CREATE FUNCTION search_messages(
    p_user uuid, p_text text, p_chat uuid, p_sender uuid, p_attached boolean,
    p_from timestamptz, p_until timestamptz, p_below uuid, p_limit integer, p_most integer
) RETURNS TABLE (found uuid)
LANGUAGE plpgsql
-- Planned for the words at hand: the statistics know the common ones.
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    said tsquery := websearch_to_tsquery('simple', p_text);
    asked tsquery := coalesce(said, ''::tsquery);       -- the words, and what else the index knows
    -- Ids are of their time, give or take what clocks differ.
    low uuid := coalesce(uuid_at(p_from - interval '10 minutes'), '00000000-0000-0000-0000-000000000000');
    below uuid := least(p_below, uuid_at(p_until + interval '10 minutes'),
                        'ffffffff-ffff-ffff-ffff-ffffffffffff');
    mine uuid[];
    sizes bigint[];         -- messages in each of these chats
    total float8;           -- entries of all chats
    plan json;
    likely float8;          -- matches in all chats
    own bigint;             -- messages in these chats
    by_chat float8;         -- entries that a walk from chat to chat goes over, until each gave a page
    most bigint := p_most;
    count bigint;
    matches uuid[];
BEGIN
    IF p_text IS NOT NULL AND numnode(said) = 0 THEN RETURN; END IF;    -- no word in it
    SELECT array_agg(p.chat_id), array_agg(c.message_count) INTO mine, sizes
    FROM chat_participants p JOIN chat_chats c ON c.id = p.chat_id
    WHERE p.user_id = p_user AND (p_chat IS NULL OR p.chat_id = p_chat);
    IF mine IS NULL THEN RETURN; END IF;
    IF p_chat IS NOT NULL THEN asked := asked && quote_literal('in:' || p_chat)::tsquery; END IF;
    IF p_sender IS NOT NULL THEN asked := asked && quote_literal('from:' || p_sender)::tsquery; END IF;
    IF p_attached THEN asked := asked && '''has:attachment'''::tsquery; END IF;

    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM message_search s'
            ' WHERE s.document @@ $1 AND s.message_id < $2 AND s.message_id >= $3'
    INTO plan USING asked, below, low;
    likely := (plan -> 0 -> 'Plan' ->> 'Plan Rows')::float8;

    SELECT greatest(t.reltuples, 1) INTO total FROM pg_class t WHERE t.oid = 'message_search'::regclass;
    SELECT sum(z.size), sum(least(z.size, p_limit * total / greatest(likely, 1))) INTO own, by_chat
    FROM unnest(sizes) AS z (size);
    -- Common words in few messages: the index knows the chats too.
    IF likely > p_most AND own <= 5 * p_most AND cardinality(mine) <= 64 AND by_chat > 20 * p_limit THEN
        asked := asked && (SELECT string_agg(quote_literal('in:' || u.id), '|') FROM unnest(mine) AS u (id))::tsquery;
        most := own;
        likely := 0;
    END IF;

    IF likely <= p_most THEN
        SELECT count(*), array_agg(h.message_id ORDER BY h.message_id DESC) FILTER (WHERE h.chat_id = ANY (mine))
        INTO count, matches
        FROM (
            SELECT s.message_id, s.chat_id FROM message_search s
            WHERE s.document @@ asked AND s.message_id < below AND s.message_id >= low
              AND (p_from IS NULL OR s.sent_at >= p_from) AND (p_until IS NULL OR s.sent_at < p_until)
            LIMIT most + 1
        ) h;
        IF count <= most THEN
            RETURN QUERY
            SELECT h.id FROM unnest(matches) WITH ORDINALITY AS h (id, place)
            JOIN chat_messages m ON m.id = h.id
            WHERE searchable(m.content, m.deleted_at, m.moderation_status, said)
            ORDER BY h.place LIMIT p_limit;
            RETURN;
        END IF;
        likely := greatest(likely, most);
        SELECT sum(least(z.size, p_limit * total / likely)) INTO by_chat FROM unnest(sizes) AS z (size);
    END IF;

    -- "IS TRUE" keeps the planner from any other index: the order is what counts from here on.
    IF by_chat <= p_limit * total / likely * total / greatest(own, 1) THEN
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
        WHERE s.message_id < below AND s.message_id >= low AND (s.chat_id = ANY (mine)) IS TRUE
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
       AND (p_said IS NULL OR to_tsvector('simple'::regconfig, search_text(p_content)) @@ p_said)
$$;
