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

INSERT INTO chat_secretive (chat_id, user_id)
SELECT p.chat_id, p.user_id FROM user_privacy v JOIN chat_participants p ON p.user_id = v.user_id
WHERE NOT v.read_receipts;
