-- Blocks and privacy, message requests, moderation and its audit log; append_messages asks them.

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
    updated_at     timestamptz NOT NULL DEFAULT now()
);

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
    reporter_id  uuid NOT NULL,
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

ALTER TABLE node_feed DROP CONSTRAINT node_feed_kind_check;
ALTER TABLE node_feed ADD CONSTRAINT node_feed_kind_check CHECK (kind IN (
        'chat.joined', 'chat.left', 'chat.updated', 'session.ended', 'user.banned', 'users.hidden'));

DROP FUNCTION append_messages(uuid[], uuid[], text[], bigint[], uuid[], text[], uuid[]);

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
            last_event_at = greatest(c.last_event_at, clock_timestamp())
        FROM (SELECT f.chat_id, count(*) AS count FROM first f GROUP BY f.chat_id) n
        WHERE c.id = n.chat_id
        RETURNING c.id, c.head_seq - n.count AS base, c.last_event_at AS at
    ), stored AS (
        INSERT INTO chat_messages (chat_id, seq, updated_seq, id, sender_id, client_message_id,
                                   fingerprint, content, reply_to, sent_at, moderation_status)
        SELECT n.chat_id, n.seq, n.seq, n.id, n.sender_id, n.client_id,
               n.fingerprint, n.content::jsonb, n.reply_to, n.at, coalesce(p_status[n.ord], 'visible')
        FROM (
            SELECT f.*, h.at, h.base + row_number() OVER (PARTITION BY f.chat_id ORDER BY f.ord) AS seq
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
