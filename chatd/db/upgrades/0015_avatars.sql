-- Avatars by one's own media.

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

-- Uploaded as an avatar before this, and shown by nothing that we know of: a day for who wants to wear it.
UPDATE media SET collect_after = clock_timestamp() + interval '1 day'
WHERE purpose = 'avatar' AND status = 'ready' AND held = 0 AND collect_after IS NULL;
