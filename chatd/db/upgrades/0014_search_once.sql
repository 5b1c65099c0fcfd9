-- Search reads each message once, in the order of sending, and without waiting for the disk: it read the last
-- seconds again and again, and sends waited behind it.

ALTER TABLE search_cursor ADD COLUMN at timestamptz NOT NULL DEFAULT '-infinity';
-- An id is of the time when its message came in: some minutes before that, and whatever clocks say.
UPDATE search_cursor
SET at = to_timestamp(('x' || translate(left(message_id::text, 13), '-', ''))::bit(48)::bigint / 1000.0)
       - interval '5 minutes';
ALTER TABLE search_cursor DROP COLUMN message_id;
INSERT INTO search_cursor DEFAULT VALUES ON CONFLICT (one) DO NOTHING;

CREATE TABLE search_again (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id  uuid NOT NULL
);

ALTER TABLE message_search DROP COLUMN updated_seq;

-- An edit or a deletion reaches the entry in its own transaction. Where there is none, somebody may be making
-- one of what the message said before, and that is mended a second later.
CREATE OR REPLACE FUNCTION message_search_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.deleted_at IS NOT NULL THEN
        DELETE FROM message_search s WHERE s.message_id = NEW.id;
    ELSE
        UPDATE message_search s SET document = search_document(NEW.content, NEW.chat_id, NEW.sender_id)
        WHERE s.message_id = NEW.id;
    END IF;
    IF NOT FOUND THEN
        INSERT INTO search_again (message_id) VALUES (NEW.id);
    END IF;
    RETURN NULL;
END $$;

-- The next entries: of p_limit messages in the order in which they were sent, and of as many that changed before
-- they had one. Returns how many were read of both. Each message is read once.
--   sent_at is taken by who holds a transaction id already. So what was sent before the oldest transaction
--   that writes now began is there to be seen, or never will be: up to there, and no further, is read.
--   (All of chatd's connections are of one role, which sees its own in pg_stat_activity.)
-- The transaction does not wait for the disk: what a crash takes of the entries it takes of the cursor too.
CREATE FUNCTION index_messages(p_limit integer) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    this_time timestamptz := clock_timestamp();
    since timestamptz := (SELECT c.at FROM search_cursor c);
    changed uuid[];
    horizon timestamptz;
    last timestamptz;
    done bigint := 0;
BEGIN
    IF since > this_time THEN
        since := this_time - interval '1 minute';   -- the clock was put back: something may be behind
    END IF;
    -- An idle server writes nothing.
    IF NOT EXISTS (SELECT 1 FROM chat_messages m WHERE m.sent_at > since)
       AND NOT EXISTS (SELECT 1 FROM search_again) THEN
        RETURN 0;
    END IF;
    IF NOT pg_try_advisory_xact_lock(25448, 2) THEN
        RETURN 0;       -- another is at it
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    since := (SELECT least(c.at, since) FROM search_cursor c);

    SELECT least(this_time, min(a.xact_start)) INTO horizon FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid();
    horizon := greatest(horizon, this_time - interval '1 minute');     -- whatever somebody else is about
    WITH span AS MATERIALIZED (
        SELECT m.id, m.chat_id, m.sender_id, m.sent_at, m.content, m.deleted_at, m.client_message_id
        FROM chat_messages m WHERE m.sent_at > since AND m.sent_at < horizon
        ORDER BY m.sent_at FETCH FIRST p_limit ROWS WITH TIES
    ), put AS (
        INSERT INTO message_search AS s (message_id, chat_id, sent_at, document)
        SELECT n.id, n.chat_id, n.sent_at, search_document(n.content, n.chat_id, n.sender_id)
        FROM span n WHERE n.client_message_id IS NOT NULL AND n.deleted_at IS NULL
        ON CONFLICT (message_id) DO NOTHING
    )
    SELECT count(*), max(n.sent_at) INTO done, last FROM span n;
    IF done > 0 THEN
        UPDATE search_cursor SET at = last WHERE one;
    END IF;

    WITH taken AS (
        DELETE FROM search_again a
        WHERE a.id = ANY (ARRAY(SELECT n.id FROM search_again n ORDER BY n.id LIMIT p_limit))
        RETURNING a.message_id
    )
    SELECT array_agg(DISTINCT t.message_id) INTO changed FROM taken t;
    IF changed IS NOT NULL THEN
        DELETE FROM message_search s WHERE s.message_id = ANY (changed);
        INSERT INTO message_search AS s (message_id, chat_id, sent_at, document)
        SELECT m.id, m.chat_id, m.sent_at, search_document(m.content, m.chat_id, m.sender_id)
        FROM chat_messages m
        WHERE m.id = ANY (changed) AND m.client_message_id IS NOT NULL AND m.deleted_at IS NULL
        ON CONFLICT (message_id) DO NOTHING;
    END IF;
    RETURN done + coalesce(cardinality(changed), 0);
END $$;
