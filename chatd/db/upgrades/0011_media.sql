-- Media: what is uploaded, and with which messages it goes.

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
    claimed_until  timestamptz,                         -- somebody is uploading it now
    collect_after  timestamptz,                         -- null: it stays
    created_at     timestamptz NOT NULL DEFAULT now(),
    ready_at       timestamptz
);
CREATE INDEX media_owner ON media (owner_id, created_at);
CREATE INDEX media_collect ON media (collect_after) WHERE collect_after IS NOT NULL;

-- What a user who goes has not sent, and their avatars, go with them.
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
