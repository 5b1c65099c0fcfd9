-- Who sees a profile; who hides what they have read is found at once; and reports are their reporters', who
-- get them with all that is held of them, and of whom they tell no more once they have gone.

ALTER TABLE user_privacy
    ADD COLUMN profile text NOT NULL DEFAULT 'everyone' CHECK (profile IN ('everyone', 'shared_chats', 'nobody'));
CREATE INDEX user_privacy_secretive ON user_privacy (user_id) WHERE NOT read_receipts;

ALTER TABLE moderation_reports ALTER COLUMN reporter_id DROP NOT NULL;
UPDATE moderation_reports r SET reporter_id = NULL
WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.id = r.reporter_id);
ALTER TABLE moderation_reports
    ADD FOREIGN KEY (reporter_id) REFERENCES users (id) ON DELETE SET NULL;

CREATE OR REPLACE FUNCTION rows_of_user(p_user uuid, p_but text[], p_most integer)
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
