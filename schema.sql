-- The whole declared schema of chatd. PostgreSQL >= 15, no extensions.
-- A fresh database gets this file; an older one gets the numbered upgrades in chatd/db/upgrades/.
-- Both must end the same (a test compares them). Ids are UUIDv7; the API shows them as TypeIDs.

CREATE TABLE schema_version (
    version     integer PRIMARY KEY,
    applied_at  timestamptz NOT NULL DEFAULT now()
);

---------------------------------------------------------------------------------------------- accounts

CREATE TABLE users (
    id              uuid PRIMARY KEY,
    email           text NOT NULL,
    email_verified  boolean NOT NULL DEFAULT false,
    password_hash   text,                               -- null: signs in by OIDC only
    display_name    text NOT NULL,
    bio             text,
    city            text,
    avatar_url      text,
    premium_tier    text,
    roles           text[] NOT NULL DEFAULT '{user}',
    signup_source   text,
    time_zone       text,                               -- IANA; null: unknown, read as UTC
    banned_at       timestamptz,
    banned_until    timestamptz,                        -- null with banned_at: for ever
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    last_active_at  timestamptz
);
CREATE UNIQUE INDEX users_email_key ON users (lower(email));

CREATE TABLE user_profiles (
    user_id               uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    interests             text[] NOT NULL DEFAULT '{}',
    icebreaker_prompt_id  text,
    settings              jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE user_identities (                          -- accounts at OIDC providers
    provider    text NOT NULL,
    subject     text NOT NULL,
    user_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, subject)
);
CREATE INDEX user_identities_user ON user_identities (user_id);

CREATE TABLE sessions (                                 -- one log-in; a family of refresh tokens
    id               uuid PRIMARY KEY,
    user_id          uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    device_name      text,
    device_platform  text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    last_used_at     timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz NOT NULL,
    revoked_at       timestamptz,
    revoked_reason   text,
    address          text                               -- where it was opened from
);
CREATE INDEX sessions_user ON sessions (user_id, created_at);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    hash        bytea PRIMARY KEY,                      -- SHA-256 of the token; the token is nowhere
    session_id  uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    issued_at   timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz                             -- a second use revokes the session
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

------------------------------------------------------------------------------------------------- chats

CREATE TABLE chat_chats (
    id             uuid PRIMARY KEY,
    type           text NOT NULL CHECK (type IN ('direct', 'group', 'event', 'club', 'gp')),
    context_id     uuid,                                -- the event, space or GP that it belongs to
    title          text,
    created_by     uuid,
    direct_low     uuid,                                -- the pair of a direct chat, in order
    direct_high    uuid,
    read_only      boolean NOT NULL DEFAULT false,
    member_count   integer NOT NULL DEFAULT 0,
    head_seq       bigint NOT NULL DEFAULT 0,           -- the last seq given out
    receipt_seq    bigint NOT NULL DEFAULT 0,           -- the version of the members' watermarks
    message_count  bigint NOT NULL DEFAULT 0,
    last_event_at  timestamptz NOT NULL DEFAULT now(),  -- never goes back, whatever the clocks do
    created_at     timestamptz NOT NULL DEFAULT now(),
    CHECK ((type = 'direct') = (direct_low IS NOT NULL AND direct_high IS NOT NULL))
) WITH (fillfactor = 50);                               -- heads move all the time: keep them HOT
CREATE UNIQUE INDEX chat_chats_direct ON chat_chats (direct_low, direct_high) WHERE type = 'direct';
CREATE INDEX chat_chats_context ON chat_chats (context_id) WHERE context_id IS NOT NULL;

CREATE TABLE chat_participants (
    chat_id                   uuid NOT NULL REFERENCES chat_chats (id) ON DELETE CASCADE,
    user_id                   uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role                      text NOT NULL CHECK (role IN ('owner', 'moderator', 'member')),
    joined_at                 timestamptz NOT NULL DEFAULT now(),
    joined_seq                bigint NOT NULL DEFAULT 0,  -- the head when this member came
    muted_until               timestamptz,
    last_read_message_id      uuid,
    last_read_seq             bigint NOT NULL DEFAULT 0,
    last_read_at              timestamptz,
    last_received_message_id  uuid,
    last_received_seq         bigint NOT NULL DEFAULT 0,
    last_received_at          timestamptz,
    read_receipt_seq          bigint NOT NULL DEFAULT 0,  -- the chat's receipt_seq when last_read moved
    received_receipt_seq      bigint NOT NULL DEFAULT 0,  -- … and when last_received moved
    PRIMARY KEY (chat_id, user_id)
) WITH (fillfactor = 70);
CREATE INDEX chat_participants_user ON chat_participants (user_id, chat_id);

-- No foreign keys on the two log tables: append_messages holds the chat's row and checks membership
-- itself, and two more look-ups a message are what a busy server has least of.
CREATE TABLE chat_messages (
    chat_id            uuid NOT NULL,
    seq                bigint NOT NULL,
    updated_seq        bigint NOT NULL,
    id                 uuid NOT NULL,
    sender_id          uuid NOT NULL,
    client_message_id  text,                            -- null: a system message
    fingerprint        bigint NOT NULL DEFAULT 0,       -- of the content as first sent, to tell a repeat
    content            jsonb NOT NULL,
    reply_to           uuid,
    sent_at            timestamptz NOT NULL,
    edited_at          timestamptz,
    deleted_at         timestamptz,
    deleted_by         uuid,
    moderation_status  text NOT NULL DEFAULT 'visible',
    pinned_at          timestamptz,
    pinned_by          uuid,
    PRIMARY KEY (chat_id, seq)
);
CREATE UNIQUE INDEX chat_messages_id ON chat_messages (id);
-- The chat in another dress, so that no planner takes the primary key in its place: on a table that looks small
-- both cost the same, but the key's prefix is the whole chat. Who asks says uuid_send(chat_id).
CREATE UNIQUE INDEX chat_messages_client_id
    ON chat_messages (uuid_send(chat_id), sender_id, client_message_id);
CREATE INDEX chat_messages_pinned ON chat_messages (chat_id, pinned_at) WHERE pinned_at IS NOT NULL;
-- Autovacuum takes its time: at the pace of its defaults it wrote and read so much at once that sends waited for
-- the disk and the processor. And no more is sampled than plans depend on.
ALTER TABLE chat_messages SET (autovacuum_vacuum_cost_delay = 10, autovacuum_vacuum_cost_limit = 100);
ALTER TABLE chat_messages
    ALTER chat_id SET STATISTICS 20, ALTER seq SET STATISTICS 20, ALTER updated_seq SET STATISTICS 20,
    ALTER id SET STATISTICS 20, ALTER sender_id SET STATISTICS 20, ALTER client_message_id SET STATISTICS 0,
    ALTER fingerprint SET STATISTICS 0, ALTER content SET STATISTICS 0, ALTER reply_to SET STATISTICS 20,
    ALTER sent_at SET STATISTICS 20, ALTER edited_at SET STATISTICS 20, ALTER deleted_at SET STATISTICS 20,
    ALTER deleted_by SET STATISTICS 20, ALTER moderation_status SET STATISTICS 20,
    ALTER pinned_at SET STATISTICS 20, ALTER pinned_by SET STATISTICS 20;
ALTER INDEX chat_messages_client_id ALTER COLUMN 1 SET STATISTICS 20;

CREATE TABLE chat_events (                              -- what happened to messages, in the same seq
    chat_id     uuid NOT NULL,
    seq         bigint NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('update', 'delete', 'moderation')),
    message_id  uuid NOT NULL,
    actor_id    uuid,
    detail      jsonb,
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chat_id, seq)
);

CREATE TABLE message_reactions (
    message_id  uuid NOT NULL,
    emoji       text NOT NULL,
    user_id     uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (message_id, emoji, user_id)
);

-------------------------------------------------------------------------------------------- node feed

-- What every node must learn even if Redis forgets: memberships, ended sessions, bans. Nodes read the
-- rows of transactions that their last reading may have missed (txid >= its snapshot's xmin).
CREATE TABLE node_feed (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind        text NOT NULL CHECK (kind IN (
        'chat.joined', 'chat.left', 'chat.updated', 'session.ended', 'user.banned', 'users.hidden',
        'node.drain')),
    chat_id     uuid,
    user_ids    uuid[] NOT NULL DEFAULT '{}',
    session_id  uuid,
    reason      text,
    at          timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX node_feed_txid ON node_feed (txid);
CREATE INDEX node_feed_at ON node_feed (at);

-------------------------------------------------------------------------------------------- functions

-- Group commit: many sends, one statement. The arrays run in parallel, one place an input, in the
-- order in which the senders must see them. Returns one row for each input:
--   outcome 'sent' | 'repeat' | 'conflict' | 'chat_not_found' | 'muted' | 'read_only' | 'reply_not_found'
--           | 'blocked' (in a direct chat, by either side's wish) | 'refused' | 'silenced'
-- p_status is what the filters said of each, with p_reason (null: nothing): 'visible' | 'flagged' | 'hidden'
-- | 'refused' | 'silenced'. What is flagged or hidden gets its case in the same transaction. p_scan: the
-- outside classifier shall see what was stored.
CREATE FUNCTION append_messages(
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

-- Give out the chat's next seq for something that happened to a message, and write it down.
-- The caller's transaction holds the chat's row.
CREATE FUNCTION append_event(p_chat uuid, p_kind text, p_message uuid, p_actor uuid, p_detail jsonb)
RETURNS bigint LANGUAGE sql AS $$
    WITH head AS (
        UPDATE chat_chats SET head_seq = head_seq + 1,
                              last_event_at = greatest(last_event_at, clock_timestamp())
        WHERE id = p_chat RETURNING head_seq, last_event_at
    ), event AS (
        INSERT INTO chat_events (chat_id, seq, kind, message_id, actor_id, detail, at)
        SELECT p_chat, head_seq, p_kind, p_message, p_actor, p_detail, last_event_at FROM head
    ), message AS (
        UPDATE chat_messages SET updated_seq = head.head_seq FROM head WHERE id = p_message
    )
    SELECT head_seq FROM head
$$;

-- Group commit of watermarks: the furthest of each (chat, user, kind) that was asked for.
--   p_kind 'read' | 'received'
--   outcome 'moved' | 'kept' | 'chat_not_found' | 'message_not_found'
-- 'senders' are the users whose messages a 'received' mark newly covers (of its last 1000).
CREATE FUNCTION advance_marks(p_chat uuid[], p_user uuid[], p_kind text[], p_message uuid[])
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

-- The seq at which the messages sent at or after a time begin (exclusive bound for "before"). A chat's
-- sent_at goes up as seq goes on, so some twenty look-ups by primary key find it; null for null.
CREATE FUNCTION seq_before(p_chat uuid, p_time timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    low bigint := 0;        -- everything up to here is earlier
    high bigint;            -- the first that is not, or past the end
    middle bigint;
    hit record;
BEGIN
    IF p_time IS NULL THEN RETURN NULL; END IF;
    SELECT head_seq + 1 INTO high FROM chat_chats WHERE id = p_chat;
    WHILE high - low > 1 LOOP
        middle := low + (high - low) / 2;
        SELECT m.seq, m.sent_at INTO hit FROM chat_messages m
        WHERE m.chat_id = p_chat AND m.seq >= middle AND m.seq < high ORDER BY m.seq LIMIT 1;
        IF NOT FOUND OR hit.sent_at >= p_time THEN high := middle; ELSE low := hit.seq; END IF;
    END LOOP;
    RETURN high;
END $$;

-------------------------------------------------------------------------------------------- relations

CREATE TABLE user_blocks (                              -- who wants nothing of whom; it holds both ways
    blocker_id  uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    blocked_id  uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (blocker_id, blocked_id),
    CHECK (blocker_id <> blocked_id)
);
CREATE INDEX user_blocks_blocked ON user_blocks (blocked_id, blocker_id);

CREATE TABLE user_privacy (                             -- no row: everything at its default
    user_id        uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    last_seen      text NOT NULL DEFAULT 'everyone' CHECK (last_seen IN ('everyone', 'shared_chats', 'nobody')),
    read_receipts  boolean NOT NULL DEFAULT true,
    messages_from  text NOT NULL DEFAULT 'everyone' CHECK (messages_from IN ('everyone', 'shared_chats', 'nobody')),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    profile        text NOT NULL DEFAULT 'everyone' CHECK (profile IN ('everyone', 'shared_chats', 'nobody'))
);
CREATE INDEX user_privacy_secretive ON user_privacy (user_id) WHERE NOT read_receipts;

-- Which members of each chat show nobody what they have read, and so do not see it of others. A mark is told to a
-- chat's members but to these, so it must not cost a look at each member, nor at each who hides it anywhere.
CREATE TABLE chat_secretive (
    chat_id  uuid NOT NULL,
    user_id  uuid NOT NULL,
    PRIMARY KEY (chat_id, user_id),
    FOREIGN KEY (chat_id, user_id) REFERENCES chat_participants (chat_id, user_id) ON DELETE CASCADE
);
CREATE INDEX chat_secretive_user ON chat_secretive (user_id);

CREATE FUNCTION chat_secretive_join() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chat_secretive (chat_id, user_id)
    SELECT n.chat_id, n.user_id FROM come n
    WHERE EXISTS (SELECT 1 FROM user_privacy v WHERE v.user_id = n.user_id AND NOT v.read_receipts OFFSET 0)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER chat_secretive_join AFTER INSERT ON chat_participants REFERENCING NEW TABLE AS come
    FOR EACH STATEMENT EXECUTE FUNCTION chat_secretive_join();

CREATE FUNCTION chat_secretive_choice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    who uuid := CASE TG_OP WHEN 'DELETE' THEN OLD.user_id ELSE NEW.user_id END;
BEGIN
    -- Who comes into a chat holds the user's row by the foreign key. So of the two that happen at once one waits
    -- for the other, and then sees what it has done.
    PERFORM 1 FROM users u WHERE u.id = who FOR UPDATE;
    IF TG_OP <> 'DELETE' AND NOT NEW.read_receipts THEN
        INSERT INTO chat_secretive (chat_id, user_id)
        SELECT p.chat_id, p.user_id FROM chat_participants p WHERE p.user_id = who ORDER BY p.chat_id
        ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM chat_secretive s WHERE s.user_id = who;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chat_secretive_chosen AFTER INSERT ON user_privacy FOR EACH ROW
    WHEN (NOT NEW.read_receipts) EXECUTE FUNCTION chat_secretive_choice();
CREATE TRIGGER chat_secretive_changed AFTER UPDATE OF read_receipts ON user_privacy FOR EACH ROW
    WHEN (OLD.read_receipts <> NEW.read_receipts) EXECUTE FUNCTION chat_secretive_choice();
CREATE TRIGGER chat_secretive_dropped AFTER DELETE ON user_privacy FOR EACH ROW
    WHEN (NOT OLD.read_receipts) EXECUTE FUNCTION chat_secretive_choice();

-- A stranger's direct chat waits here until it is answered; until then only the stranger is seated in it.
CREATE TABLE message_requests (
    chat_id      uuid PRIMARY KEY REFERENCES chat_chats (id) ON DELETE CASCADE,
    from_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    to_id        uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    status       text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'declined')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    answered_at  timestamptz
);
CREATE INDEX message_requests_to ON message_requests (to_id, created_at, chat_id) WHERE status = 'pending';
CREATE INDEX message_requests_from ON message_requests (from_id);
CREATE INDEX message_requests_of ON message_requests (to_id);

------------------------------------------------------------------------------------------------ audit

CREATE TABLE audit_log (                                -- who did what to whom with a moderator's power
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor_id     uuid,                                  -- null: chatd itself
    action       text NOT NULL,
    target_kind  text,
    target_id    uuid,
    chat_id      uuid,
    detail       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_actor ON audit_log (actor_id, id);
CREATE INDEX audit_log_target ON audit_log (target_id, id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
-- The owner of a table may always do to it what it likes, or grant itself that: the trigger says no anyway.
REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM PUBLIC, CURRENT_USER;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

------------------------------------------------------------------------------------------- moderation

CREATE TABLE chat_bans (
    chat_id       uuid NOT NULL REFERENCES chat_chats (id) ON DELETE CASCADE,
    user_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    banned_by     uuid NOT NULL,
    reason        text,
    banned_at     timestamptz NOT NULL DEFAULT now(),
    banned_until  timestamptz,                          -- null: for ever
    PRIMARY KEY (chat_id, user_id)
);
CREATE INDEX chat_bans_user ON chat_bans (user_id);

CREATE TABLE moderation_cases (
    id            uuid PRIMARY KEY,
    subject       text NOT NULL CHECK (subject IN ('message', 'user', 'post', 'comment')),
    subject_id    uuid NOT NULL,
    chat_id       uuid,
    context_id    uuid,                                 -- the space of a post or comment
    author_id     uuid,                                 -- whose it is
    source        text NOT NULL CHECK (source IN ('report', 'filter', 'classifier')),
    reason        text,
    snapshot      jsonb,                                -- what it said then: evidence, whatever becomes of it
    report_count  integer NOT NULL DEFAULT 0,
    status        text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'claimed', 'resolved', 'dismissed')),
    claimed_by    uuid,
    claimed_at    timestamptz,
    closed_by     uuid,
    closed_at     timestamptz,
    resolution    text,
    note          text,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX moderation_cases_open ON moderation_cases (subject, subject_id)
    WHERE status IN ('pending', 'claimed');
CREATE INDEX moderation_cases_queue ON moderation_cases (status, created_at, id);
CREATE INDEX moderation_cases_chat ON moderation_cases (chat_id, created_at, id);

CREATE TABLE moderation_reports (
    id           uuid PRIMARY KEY,
    case_id      uuid NOT NULL REFERENCES moderation_cases (id) ON DELETE CASCADE,
    reporter_id  uuid REFERENCES users (id) ON DELETE SET NULL,
    reason       text NOT NULL,
    description  text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (case_id, reporter_id)
);
CREATE INDEX moderation_reports_reporter ON moderation_reports (reporter_id);

CREATE TABLE moderation_filters (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('words', 'links', 'repeat', 'flood', 'new_account')),
    action      text NOT NULL CHECK (action IN ('allow', 'flag', 'hide', 'block', 'silence')),
    config      jsonb NOT NULL,
    enabled     boolean NOT NULL DEFAULT true,
    position    integer NOT NULL DEFAULT 100,           -- the lowest is asked first
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX moderation_filters_name ON moderation_filters (name);
CREATE INDEX moderation_filters_version ON moderation_filters (updated_at);

CREATE TABLE moderation_scans (                         -- messages that the outside classifier shall see
    message_id  uuid PRIMARY KEY,
    attempts    integer NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX moderation_scans_due ON moderation_scans (due_at);

INSERT INTO moderation_filters (id, name, kind, action, config, enabled, position) VALUES
    ('019a0000-0000-7000-8000-000000000001', 'profanity', 'words', 'flag',
     '{"words": ["asshole", "bastard", "bitch", "bullshit", "cunt", "dickhead", "faggot", "fuck", "fucker", "fucking", "motherfucker", "nigger", "pussy", "retard", "shit", "slut", "twat", "wanker", "whore"]}', true, 10),
    ('019a0000-0000-7000-8000-000000000002', 'suspicious links', 'links', 'flag',
     '{"shorteners": ["bit.ly", "cutt.ly", "goo.gl", "is.gd", "ow.ly", "rb.gy", "t.ly", "tinyurl.com"], "punycode": true, "addresses": true, "user_info": true}', true, 20),
    ('019a0000-0000-7000-8000-000000000003', 'repeated content', 'repeat', 'flag',
     '{"times": 5, "within_s": 60, "min_length": 12}', false, 30),
    ('019a0000-0000-7000-8000-000000000004', 'flooding', 'flood', 'silence',
     '{"messages": 30, "within_s": 10, "silence_s": 60}', false, 40),
    ('019a0000-0000-7000-8000-000000000005', 'new accounts', 'new_account', 'block',
     '{"younger_than_s": 3600, "messages": 30, "within_s": 60, "links": false}', false, 50);

-------------------------------------------------------------------------------------------------- mail

CREATE TABLE mail_outbox (                              -- letters that no SMTP server has taken yet
    id          uuid PRIMARY KEY,
    recipient   text NOT NULL,
    subject     text NOT NULL,
    body        text NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL,
    due_at      timestamptz NOT NULL,                   -- while it is being sent: when another may take it
    expires_at  timestamptz NOT NULL
);
CREATE INDEX mail_outbox_due ON mail_outbox (due_at);
CREATE INDEX mail_outbox_recipient ON mail_outbox (lower(recipient));

---------------------------------------------------------------------------------- safety of the accounts

CREATE TABLE login_failures (                           -- wrong passwords in a row, also for emails of nobody
    email_hash    bytea PRIMARY KEY,                    -- SHA-256 of the email as it was typed, trimmed
    failures      integer NOT NULL,
    last_at       timestamptz NOT NULL,
    locked_until  timestamptz
);
CREATE INDEX login_failures_last ON login_failures (last_at);

CREATE TABLE login_notices (                            -- sign-ins of an unknown device, yet to be told
    session_id  uuid PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    at          timestamptz NOT NULL
);

CREATE TABLE account_tokens (                           -- codes in letters
    hash        bytea PRIMARY KEY,                      -- SHA-256 of the code; the code is in the letter only
    user_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    purpose     text NOT NULL CHECK (purpose IN ('verify_email', 'reset_password')),
    email       text NOT NULL,                          -- what it was sent to
    expires_at  timestamptz NOT NULL
);
CREATE INDEX account_tokens_user ON account_tokens (user_id, purpose);
CREATE INDEX account_tokens_expiry ON account_tokens (expires_at);

CREATE TABLE account_deletions (                        -- who has gone; what was theirs goes step by step
    user_id       uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    requested_at  timestamptz NOT NULL,
    due_at        timestamptz NOT NULL,
    finished_at   timestamptz
);
CREATE INDEX account_deletions_due ON account_deletions (due_at) WHERE finished_at IS NULL;

----------------------------------------------------------------------------------------------- devices

CREATE TABLE push_devices (                             -- where somebody without a socket can be reached
    id             uuid PRIMARY KEY,
    user_id        uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id     uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    provider       text NOT NULL CHECK (provider IN ('fcm', 'apns', 'webpush')),
    token          text NOT NULL,                       -- Web Push: the subscription's endpoint
    token_hash     bytea NOT NULL,
    p256dh         bytea,                               -- Web Push: the browser's key, and
    auth           bytea,                               -- its secret (RFC 8291)
    name           text,
    created_at     timestamptz NOT NULL,
    registered_at  timestamptz NOT NULL,
    UNIQUE (provider, token_hash),
    CHECK ((provider = 'webpush') = (p256dh IS NOT NULL AND auth IS NOT NULL))
);
CREATE INDEX push_devices_user ON push_devices (user_id);
CREATE INDEX push_devices_session ON push_devices (session_id);

-- One row a device and subject (a chat, a notification): what comes while it waits is joined to it.
CREATE TABLE push_outbox (
    device_id     uuid NOT NULL REFERENCES push_devices (id) ON DELETE CASCADE,
    collapse_key  text NOT NULL,
    chat_id       uuid,                                 -- a message of this chat …
    seq           bigint,
    mention       boolean NOT NULL DEFAULT false,
    notification  jsonb,                                -- … or this
    version       bigint NOT NULL DEFAULT 1,            -- moves when something is joined to it
    attempts      integer NOT NULL DEFAULT 0,
    waited        boolean NOT NULL DEFAULT false,       -- for a live socket to receive it
    created_at    timestamptz NOT NULL,
    due_at        timestamptz NOT NULL,
    PRIMARY KEY (device_id, collapse_key),
    CHECK ((chat_id IS NULL) = (notification IS NOT NULL) AND (chat_id IS NULL) = (seq IS NULL))
);
CREATE INDEX push_outbox_due ON push_outbox (due_at);

CREATE TABLE push_cursor (                              -- up to where the messages have been looked at
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO push_cursor DEFAULT VALUES;

-- Messages of the last seconds, for push and search: these, and not one more.
CREATE INDEX chat_messages_sent ON chat_messages (sent_at);

------------------------------------------------------------------------------------------ notifications

CREATE TABLE notification_settings (                    -- no row: the defaults
    user_id      uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    push         boolean NOT NULL DEFAULT true,
    preview      boolean NOT NULL DEFAULT true,         -- what was said goes into the push
    email        text NOT NULL DEFAULT 'off' CHECK (email IN ('off', 'daily', 'weekly')),
    quiet_from   time,                                  -- in the user's time zone
    quiet_until  time,
    off_types    text[] NOT NULL DEFAULT '{}',
    digest_at    timestamptz,                           -- when the last digest was made
    CHECK ((quiet_from IS NULL) = (quiet_until IS NULL))
);
CREATE INDEX notification_settings_digest ON notification_settings (digest_at NULLS FIRST) WHERE email <> 'off';

CREATE TABLE notifications (
    id          uuid PRIMARY KEY,
    user_id     uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    type        text NOT NULL,
    title       text NOT NULL,
    message     text NOT NULL,
    action_url  text,
    payload     jsonb NOT NULL DEFAULT '{}',
    dedupe_key  text,                                   -- the same reason notifies once
    created_at  timestamptz NOT NULL,
    read_at     timestamptz
);
CREATE INDEX notifications_user ON notifications (user_id, created_at DESC, id DESC);
CREATE INDEX notifications_unread ON notifications (user_id) WHERE read_at IS NULL;
CREATE INDEX notifications_age ON notifications (created_at);
CREATE UNIQUE INDEX notifications_dedupe ON notifications (user_id, type, dedupe_key) WHERE dedupe_key IS NOT NULL;

------------------------------------------------------------------------------------------ personal data

CREATE TABLE data_exports (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    requested_at  timestamptz NOT NULL,
    due_at        timestamptz NOT NULL,
    section       integer NOT NULL DEFAULT 0,           -- what is being written, and
    position      text,                                 -- where it goes on
    finished_at   timestamptz,
    expires_at    timestamptz
);
CREATE INDEX data_exports_user ON data_exports (user_id, requested_at);
CREATE INDEX data_exports_due ON data_exports (due_at) WHERE finished_at IS NULL;
CREATE INDEX data_exports_expiry ON data_exports (expires_at) WHERE finished_at IS NOT NULL;

CREATE TABLE data_export_parts (                        -- bounded pieces of it
    export_id  uuid NOT NULL REFERENCES data_exports (id) ON DELETE CASCADE,
    part       integer NOT NULL,
    section    text NOT NULL,
    data       jsonb NOT NULL,
    PRIMARY KEY (export_id, part)
);

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
    status      text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'failed', 'cancelled')),
    due_at      timestamptz,                            -- send_at, or later after a failed attempt; null: done
    attempts    integer NOT NULL DEFAULT 0,
    message_id  uuid,
    failure     text,                                   -- the code of the error that ended it
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    client_message_id text,                             -- under which its author asked for it; null: none
    fingerprint bytea                                   -- of what was asked for then
);
-- Who asks twice under one id has one message. A cancelled row has no words: it is there for its id alone.
CREATE UNIQUE INDEX scheduled_messages_client_id ON scheduled_messages (user_id, chat_id, client_message_id)
    WHERE client_message_id IS NOT NULL;
CREATE INDEX scheduled_messages_cancelled ON scheduled_messages (user_id, send_at) WHERE status = 'cancelled';
CREATE INDEX scheduled_messages_due ON scheduled_messages (due_at) WHERE status = 'pending';
CREATE INDEX scheduled_messages_user ON scheduled_messages (user_id, send_at, id);
CREATE INDEX scheduled_messages_chat ON scheduled_messages (chat_id);
CREATE INDEX scheduled_messages_done ON scheduled_messages (send_at) WHERE status <> 'pending';

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

----------------------------------------------------------------------------------------------- search

-- What can be searched, filled a second behind by a job, so that a send pays nothing. A search asks the
-- message itself before it shows it: an entry that is behind finds nothing that is not so.
CREATE TABLE message_search (
    message_id   uuid PRIMARY KEY,
    chat_id      uuid NOT NULL,
    sent_at      timestamptz NOT NULL,
    document     tsvector NOT NULL
);
CREATE INDEX message_search_document ON message_search USING gin (document) WITH (gin_pending_list_limit = 512);
CREATE INDEX message_search_chat ON message_search (chat_id, message_id);
-- As with chat_messages; words want more samples.
ALTER TABLE message_search SET (autovacuum_vacuum_cost_delay = 10, autovacuum_vacuum_cost_limit = 100);
ALTER TABLE message_search
    ALTER message_id SET STATISTICS 50, ALTER chat_id SET STATISTICS 50, ALTER sent_at SET STATISTICS 50,
    ALTER document SET STATISTICS 50;

CREATE TABLE search_cursor (                            -- one row: what was sent up to here was read
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    at   timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO search_cursor DEFAULT VALUES;

CREATE TABLE search_again (                             -- messages that changed before they had an entry
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id  uuid NOT NULL
);

-- The text as it is read for words. What looks like a tag is something that somebody wrote.
CREATE FUNCTION search_text(p_content jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT translate(coalesce(p_content ->> 'text', ''), '<>', '  ')
$$;

-- Words, and what else a search asks for, as lexemes that no text gives.
CREATE FUNCTION search_document(p_content jsonb, p_chat uuid, p_sender uuid) RETURNS tsvector
LANGUAGE sql IMMUTABLE AS $$
    SELECT to_tsvector('simple'::regconfig, search_text(p_content))
        || array_to_tsvector(array_remove(ARRAY[
               'in:' || p_chat::text, 'from:' || p_sender::text,
               CASE WHEN p_content -> 'attachments' <> '[]'::jsonb THEN 'has:attachment' END], NULL))
$$;

-- An edit or a deletion reaches the entry in its own transaction. Where there is none, somebody may be making
-- one of what the message said before, and that is mended a second later.
CREATE FUNCTION message_search_follow() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER message_search_follow AFTER UPDATE OF content, deleted_at ON chat_messages
    FOR EACH ROW EXECUTE FUNCTION message_search_follow();

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

---------------------------------------------------------------------------------------------------- gp

-- Great-circle distance in km, by the haversine on H3's sphere (features/gp/geo.py has the same).
CREATE FUNCTION gp_km(lat1 double precision, lng1 double precision, lat2 double precision, lng2 double precision)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 12742.01436 * asin(least(1, sqrt(
        power(sind((lat2 - lat1) / 2), 2) + cosd(lat1) * cosd(lat2) * power(sind((lng2 - lng1) / 2), 2)
    )))
$$;

-- The priority of a GP in a list, higher first: what comes first decides, what follows breaks its ties.
--   needs one or two members > time left > distance, by the km > activity, by 10 minutes > messages, by 10
-- Time left counts as "more than an hour and a half, or not" (p_fine false) or by quarter hours (p_fine).
CREATE FUNCTION gp_priority(
    p_missing integer, p_left interval, p_km double precision, p_idle interval, p_messages bigint, p_fine boolean
) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN p_missing IN (1, 2) THEN 100000000 ELSE 0 END
         + CASE WHEN NOT p_fine THEN CASE WHEN p_left > interval '90 minutes' THEN 1000000 ELSE 0 END
                ELSE greatest(0, least(99, floor(extract(epoch FROM p_left) / 900)::integer)) * 1000000 END
         + (999 - least(999, floor(p_km)::integer)) * 1000
         + (9 - greatest(0, least(9, floor(extract(epoch FROM p_idle) / 600)::integer))) * 100
         + least(9, p_messages / 10)::integer
$$;

CREATE TABLE gps (                                      -- located groups that live some hours
    id                uuid PRIMARY KEY,
    chat_id           uuid NOT NULL,
    created_by        uuid REFERENCES users (id) ON DELETE SET NULL,
    category          text NOT NULL,
    sub_type          text NOT NULL,
    specific_name     text,
    genre             text,
    topics            text[] NOT NULL,
    description       text,
    creation_reason   text,
    reason_note       text,
    city              text,
    zone              text,
    cell              bigint NOT NULL,                  -- H3, resolution 7: all that is kept of the place
    cell_5            bigint NOT NULL,                  -- … and its parents, for wider searches
    cell_3            bigint NOT NULL,
    lat               double precision NOT NULL,        -- the middle of the cell
    lng               double precision NOT NULL,
    status            text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'expired', 'converted', 'failed')),
    member_count      integer NOT NULL DEFAULT 1,
    message_count     bigint NOT NULL DEFAULT 0,        -- of the chat, when it was last looked at
    last_activity_at  timestamptz NOT NULL,
    looked_at         timestamptz NOT NULL,
    created_at        timestamptz NOT NULL,
    lifetime_ends_at  timestamptz NOT NULL,
    expires_at        timestamptz NOT NULL,             -- later than that while a vote defers it
    expiring_told     boolean NOT NULL DEFAULT false,
    conversion        text NOT NULL DEFAULT 'none'
                      CHECK (conversion IN ('none', 'eligible', 'voting', 'approved', 'failed')),
    eligible_at       timestamptz,
    vote_opened_at    timestamptz,
    vote_closes_at    timestamptz,
    vote_retry_at     timestamptz,
    ended_at          timestamptz,
    CHECK ((status = 'active') = (ended_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX gps_near_7 ON gps (cell, member_count DESC, expires_at DESC) WHERE status = 'active';
CREATE INDEX gps_near_5 ON gps (cell_5, member_count DESC, expires_at DESC) WHERE status = 'active';
CREATE INDEX gps_near_3 ON gps (cell_3, member_count DESC, expires_at DESC) WHERE status = 'active';
CREATE INDEX gps_kind_5 ON gps (cell_5, category, sub_type, member_count DESC, expires_at DESC) WHERE status = 'active';
CREATE INDEX gps_kind_3 ON gps (cell_3, category, sub_type, member_count DESC, expires_at DESC) WHERE status = 'active';
CREATE INDEX gps_expiry ON gps (expires_at) WHERE status = 'active';
CREATE INDEX gps_untold ON gps (expires_at) WHERE status = 'active' AND NOT expiring_told;
CREATE INDEX gps_voting ON gps (vote_closes_at) WHERE status = 'active' AND conversion = 'voting';
CREATE INDEX gps_look ON gps (looked_at) WHERE status = 'active';
CREATE INDEX gps_creator ON gps (created_by, category, status);
CREATE INDEX gps_ended ON gps (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE gp_members (
    gp_id      uuid NOT NULL REFERENCES gps (id) ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    joined_at  timestamptz NOT NULL,
    PRIMARY KEY (gp_id, user_id)
);
CREATE INDEX gp_members_user ON gp_members (user_id, gp_id);

CREATE TABLE gp_ballots (                               -- the electorate of the open (or last) vote
    gp_id     uuid NOT NULL REFERENCES gps (id) ON DELETE CASCADE,
    user_id   uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    choice    text CHECK (choice IN ('yes', 'no')),     -- null: has not voted
    voted_at  timestamptz,
    PRIMARY KEY (gp_id, user_id)
);
CREATE INDEX gp_ballots_user ON gp_ballots (user_id);

CREATE TABLE gp_creators (                              -- what limits a user's creations; also their lock
    user_id         uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    day_ends_at     timestamptz NOT NULL DEFAULT '-infinity',
    day_count       integer NOT NULL DEFAULT 0,
    last_created_at timestamptz,
    cooldown_until  timestamptz NOT NULL DEFAULT '-infinity'
);

CREATE TABLE gp_census (                                -- one row: how many GPs there are, and may be
    id            boolean PRIMARY KEY DEFAULT true CHECK (id),
    active        integer NOT NULL DEFAULT 0,           -- with status active, overdue ones too
    active_users  integer NOT NULL DEFAULT 0,           -- of the 24 hours before counted_at
    counted_at    timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO gp_census DEFAULT VALUES;

CREATE TABLE gp_positions (                             -- where users last said they are: the cell, no more
    user_id   uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    cell      bigint NOT NULL,
    moved_at  timestamptz NOT NULL
);

CREATE TABLE gp_watches (                               -- who wants to hear of GPs near a place, until when
    user_id   uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    cell      bigint NOT NULL,
    cell_5    bigint NOT NULL,
    lat       double precision NOT NULL,
    lng       double precision NOT NULL,
    max_km    double precision NOT NULL,
    category  text,
    sub_type  text,
    topic     text,
    until     timestamptz NOT NULL
);
CREATE INDEX gp_watches_near ON gp_watches (cell_5, until);
CREATE INDEX gp_watches_until ON gp_watches (until);

CREATE INDEX users_last_active ON users (last_active_at);
CREATE INDEX chat_messages_flagged ON chat_messages (chat_id) WHERE moderation_status <> 'visible';

CREATE INDEX users_admins ON users (id) WHERE 'admin' = ANY (roles);

------------------------------------------------------------------------------------------------ mutes

CREATE TABLE server_mutes (                             -- who may read but not write, in every chat
    user_id      uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    muted_by     uuid NOT NULL,
    muted_until  timestamptz,                           -- null: for ever
    reason       text,
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX server_mutes_version ON server_mutes (updated_at);

CREATE INDEX users_banned ON users (id) WHERE banned_at IS NOT NULL;

CREATE INDEX message_reactions_user ON message_reactions (user_id);

-- The tables that a user's rows are in, by what they declare: whatever goes with its user (ON DELETE
-- CASCADE), or names one that may be forgotten (SET NULL). What a table declares, it need not say twice.
CREATE FUNCTION personal_tables() RETURNS TABLE (place regclass, named name, fate "char")
LANGUAGE sql STABLE AS $$
    SELECT c.conrelid::regclass, a.attname, c.confdeltype
    FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
    WHERE c.contype = 'f' AND c.confrelid = 'users'::regclass AND cardinality(c.conkey) = 1
      AND c.confdeltype IN ('c', 'n')
    ORDER BY c.conrelid::regclass::text, a.attname
$$;

-- A user's rows but those of p_but ('table' or 'table.column'), without secrets; at most p_most of a table.
CREATE FUNCTION rows_of_user(p_user uuid, p_but text[], p_most integer)
RETURNS TABLE (section text, data jsonb)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT * FROM personal_tables() LOOP
        CONTINUE WHEN t.place::text = ANY (p_but) OR t.place::text || '.' || t.named = ANY (p_but);
        RETURN QUERY EXECUTE format(
            'SELECT %L::text, to_jsonb(r) - ARRAY[''password_hash'', ''token'', ''token_hash'', ''hash'', ''p256dh'', ''auth'', ''banned_by'', ''muted_by'']
             FROM %s r WHERE r.%I = $1 LIMIT $2', t.place::text, t.place, t.named) USING p_user, p_most;
    END LOOP;
END $$;

-- What goes with a user goes, though the user's own row stays as a tombstone; but what is in p_but.
CREATE FUNCTION forget_user(p_user uuid, p_but text[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    t record;
    n bigint;
    total bigint := 0;
BEGIN
    FOR t IN SELECT * FROM personal_tables() LOOP
        CONTINUE WHEN t.place::text = ANY (p_but) OR t.place::text || '.' || t.named = ANY (p_but);
        IF t.fate = 'c' THEN
            EXECUTE format('DELETE FROM %s WHERE %I = $1', t.place, t.named) USING p_user;
        ELSE
            EXECUTE format('UPDATE %s SET %I = NULL WHERE %I = $1', t.place, t.named, t.named) USING p_user;
        END IF;
        GET DIAGNOSTICS n = ROW_COUNT;
        total := total + n;
    END LOOP;
    RETURN total;
END $$;

--------------------------------------------------------------------------------------------------- media

CREATE TABLE media (
    id             uuid PRIMARY KEY,
    owner_id       uuid REFERENCES users (id) ON DELETE SET NULL,
    purpose        text NOT NULL,                       -- chat, avatar, or what a room has it for
    kind           text NOT NULL CHECK (kind IN ('image', 'video')),
    declared_type  text NOT NULL,                       -- what was announced; it must be that
    file_name      text NOT NULL,
    status         text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'ready', 'rejected')),
    reason         text,                                -- why it was rejected
    storage_key    text NOT NULL,                       -- random; also the stem of what belongs to it
    content_type   text,                                -- from here on null until it is ready
    size           bigint,
    width          integer,
    height         integer,
    thumbnail      boolean NOT NULL DEFAULT false,
    held           integer NOT NULL DEFAULT 0 CHECK (held >= 0),    -- how many things use it
    upload_until   timestamptz NOT NULL,
    claimed_until  timestamptz,                         -- somebody is uploading it now, and says so again
    collect_after  timestamptz,                         -- null: it stays
    created_at     timestamptz NOT NULL DEFAULT now(),
    ready_at       timestamptz,
    claim          uuid,                                -- whose upload that is
    reserved       bigint NOT NULL DEFAULT 0            -- the bytes it counts for until it is ready
);
CREATE INDEX media_owner ON media (owner_id, created_at);
CREATE INDEX media_collect ON media (collect_after) WHERE collect_after IS NOT NULL;

-- What a user wears is not collected, and what nobody wears any more is.
ALTER TABLE users ADD COLUMN avatar_media_id uuid CONSTRAINT users_avatar_media REFERENCES media (id);
CREATE INDEX users_avatar ON users (avatar_media_id) WHERE avatar_media_id IS NOT NULL;
CREATE FUNCTION users_wear() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.avatar_media_id IS NOT NULL THEN
        UPDATE media SET held = held + 1, collect_after = NULL WHERE id = NEW.avatar_media_id;
    END IF;
    UPDATE media SET held = held - 1, collect_after = CASE WHEN held = 1 THEN clock_timestamp() END
    WHERE id = OLD.avatar_media_id;
    RETURN NULL;
END $$;
CREATE TRIGGER users_wear AFTER UPDATE OF avatar_media_id ON users FOR EACH ROW
    WHEN (OLD.avatar_media_id IS DISTINCT FROM NEW.avatar_media_id) EXECUTE FUNCTION users_wear();
CREATE TRIGGER users_wore AFTER DELETE ON users FOR EACH ROW
    WHEN (OLD.avatar_media_id IS NOT NULL) EXECUTE FUNCTION users_wear();

-- What a user who goes has not sent goes with them.
CREATE FUNCTION media_disown() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.collect_after := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER media_disown BEFORE UPDATE OF owner_id ON media FOR EACH ROW
    WHEN (NEW.owner_id IS NULL AND OLD.owner_id IS NOT NULL AND OLD.held = 0)
    EXECUTE FUNCTION media_disown();

CREATE TABLE media_garbage (                            -- objects that are still to be deleted
    object_key    text PRIMARY KEY,
    delete_after  timestamptz NOT NULL
);
CREATE INDEX media_garbage_after ON media_garbage (delete_after);

CREATE TABLE message_attachments (
    message_id  uuid NOT NULL,
    media_id    uuid NOT NULL REFERENCES media (id),
    place       smallint NOT NULL,
    chat_id     uuid NOT NULL,
    type        text NOT NULL,
    metadata    jsonb NOT NULL,
    PRIMARY KEY (message_id, media_id)
);
CREATE INDEX message_attachments_media ON message_attachments (media_id, chat_id);

-- What messages use is not collected, and what none uses any more is.
CREATE FUNCTION message_attachments_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE media SET held = held + 1, collect_after = NULL WHERE id = NEW.media_id;
    ELSE
        UPDATE media SET held = held - 1, collect_after = CASE WHEN held = 1 THEN clock_timestamp() END
        WHERE id = OLD.media_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER message_attachments_hold AFTER INSERT OR DELETE ON message_attachments
    FOR EACH ROW EXECUTE FUNCTION message_attachments_hold();

-- Attachments go with their message, whoever deletes it. The locks are in id order, as everywhere.
CREATE FUNCTION chat_messages_detach() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM media m
    WHERE m.id IN (SELECT a.media_id FROM message_attachments a WHERE a.message_id = OLD.id)
    ORDER BY m.id FOR UPDATE;
    DELETE FROM message_attachments WHERE message_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER chat_messages_buried AFTER UPDATE OF deleted_at ON chat_messages FOR EACH ROW
    WHEN (NEW.deleted_at IS NOT NULL AND OLD.content -> 'attachments' <> '[]'::jsonb)
    EXECUTE FUNCTION chat_messages_detach();
CREATE TRIGGER chat_messages_erased AFTER DELETE ON chat_messages FOR EACH ROW
    WHEN (OLD.content -> 'attachments' <> '[]'::jsonb)
    EXECUTE FUNCTION chat_messages_detach();

-- Whether a user sees a message with this medium: in a chat where they are, not deleted, not hidden.
CREATE FUNCTION media_open(p_media uuid, p_user uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT 1 FROM message_attachments a
        JOIN chat_participants p ON p.chat_id = a.chat_id AND p.user_id = p_user
        JOIN chat_messages m ON m.id = a.message_id
        WHERE a.media_id = p_media AND m.deleted_at IS NULL AND m.moderation_status <> 'hidden'
    )
$$;

-- Whether a user may send this medium: one's own that was not sent yet, or one that one sees.
CREATE FUNCTION media_sendable(p_media uuid, p_user uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT 1 FROM media m
        WHERE m.id = p_media AND m.status = 'ready' AND m.purpose = 'chat'
          AND ((m.owner_id = p_user AND m.held = 0 AND m.collect_after > clock_timestamp())
               OR media_open(m.id, p_user))
    )
$$;

-- What a message shows of a medium.
CREATE FUNCTION media_shown(m media) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('type', m.kind, 'content_type', m.content_type, 'file_name', m.file_name,
                              'size', m.size, 'width', m.width, 'height', m.height, 'thumbnail', m.thumbnail)
$$;

-- A message's content with what is known of its attachments, which are p_media, in order.
CREATE FUNCTION attach_described(p_content jsonb, p_media uuid[]) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_set(p_content, '{attachments}', coalesce((
        SELECT jsonb_agg(
            jsonb_build_object('media_id', e.value -> 'media_id',
                               'url', '/api/media/' || (e.value ->> 'media_id')) || media_shown(m)
            ORDER BY e.n)
        FROM jsonb_array_elements(p_content -> 'attachments') WITH ORDINALITY AS e (value, n)
        JOIN media m ON m.id = p_media[e.n]
    ), '[]'))
$$;

-- append_conversation for a batch in which somebody attaches. Its further inputs: the attachments of all
-- inputs as pairs of arrays: the place of the input (from 1), and the medium. Further outcome:
-- 'attachment_not_found'. Further column: the content as it was stored.
CREATE FUNCTION append_attached(
    p_chat uuid[], p_sender uuid[], p_client_id text[], p_fingerprint bigint[],
    p_id uuid[], p_content text[], p_reply_to uuid[],
    p_status text[], p_reason text[], p_scan boolean,
    p_everybody boolean[], p_mention_ord bigint[], p_mentioned uuid[],
    p_media_ord bigint[], p_media uuid[]
) RETURNS TABLE (ord bigint, outcome text, message_id uuid, message_seq bigint, message_sent_at timestamptz,
                 root uuid, quoted_sender uuid, quoted_text text, stored_content jsonb)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    missing bigint[];       -- the places of inputs with an attachment that cannot be
    contents text[];
    statuses text[];
BEGIN
    -- Chats before media, both in id order, here and wherever both are locked.
    PERFORM 1 FROM chat_chats c WHERE c.id = ANY (p_chat) ORDER BY c.id FOR NO KEY UPDATE;
    PERFORM 1 FROM media m WHERE m.id = ANY (p_media) ORDER BY m.id FOR UPDATE;

    SELECT coalesce(array_agg(DISTINCT a.ord), '{}') INTO missing
    FROM unnest(p_media_ord, p_media) AS a (ord, media_id)
    WHERE NOT media_sendable(a.media_id, p_sender[a.ord]);

    -- As refused, they lose to every other reason, a repeat above all: that is right for ever.
    SELECT array_agg(coalesce(attach_described(i.content::jsonb, g.media)::text, i.content) ORDER BY i.ord),
           array_agg(CASE WHEN i.ord = ANY (missing) AND coalesce(p_status[i.ord], 'visible') <> 'silenced'
                          THEN 'refused' ELSE coalesce(p_status[i.ord], 'visible') END ORDER BY i.ord)
    INTO contents, statuses
    FROM unnest(p_content) WITH ORDINALITY AS i (content, ord)
    LEFT JOIN (
        SELECT w.ord, array_agg(w.media_id ORDER BY w.n) AS media
        FROM unnest(p_media_ord, p_media) WITH ORDINALITY AS w (ord, media_id, n) GROUP BY w.ord
    ) g ON g.ord = i.ord;

    RETURN QUERY
    WITH said AS MATERIALIZED (
        SELECT a.* FROM append_conversation(p_chat, p_sender, p_client_id, p_fingerprint, p_id, contents,
                                            p_reply_to, statuses, p_reason, p_scan,
                                            p_everybody, p_mention_ord, p_mentioned) a
    ), attached AS (
        INSERT INTO message_attachments (message_id, media_id, place, chat_id, type, metadata)
        SELECT s.message_id, w.media_id,
               row_number() OVER (PARTITION BY w.ord ORDER BY w.n), p_chat[w.ord], m.kind, media_shown(m)
        FROM unnest(p_media_ord, p_media) WITH ORDINALITY AS w (ord, media_id, n)
        JOIN said s ON s.ord = w.ord AND s.outcome = 'sent'
        JOIN media m ON m.id = w.media_id
    )
    SELECT s.ord,
           CASE WHEN s.outcome = 'refused' AND s.ord = ANY (missing)
                     AND coalesce(p_status[s.ord], 'visible') <> 'refused'
                THEN 'attachment_not_found' ELSE s.outcome END,
           s.message_id, s.message_seq, s.message_sent_at, s.root, s.quoted_sender, s.quoted_text,
           contents[s.ord]::jsonb
    FROM said s ORDER BY s.ord;
END $$;

-- Put these in the place of a message's attachments; false where one of them may not be, and then nothing is
-- done. The caller's transaction holds the chat's row.
CREATE FUNCTION reattach(p_message uuid, p_chat uuid, p_user uuid, p_media uuid[]) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM media m
    WHERE m.id = ANY (p_media)
       OR m.id IN (SELECT a.media_id FROM message_attachments a WHERE a.message_id = p_message)
    ORDER BY m.id FOR UPDATE;
    IF EXISTS (
        SELECT 1 FROM unnest(p_media) AS w (media_id)
        WHERE NOT EXISTS (SELECT 1 FROM message_attachments a
                          WHERE a.message_id = p_message AND a.media_id = w.media_id)
          AND NOT media_sendable(w.media_id, p_user)
    ) THEN
        RETURN false;
    END IF;
    DELETE FROM message_attachments a WHERE a.message_id = p_message AND a.media_id <> ALL (p_media);
    INSERT INTO message_attachments AS a (message_id, media_id, place, chat_id, type, metadata)
    SELECT p_message, w.media_id, w.n, p_chat, m.kind, media_shown(m)
    FROM unnest(p_media) WITH ORDINALITY AS w (media_id, n) JOIN media m ON m.id = w.media_id
    ON CONFLICT (message_id, media_id) DO UPDATE SET place = EXCLUDED.place;
    RETURN true;
END $$;

INSERT INTO schema_version (version) VALUES (21);
