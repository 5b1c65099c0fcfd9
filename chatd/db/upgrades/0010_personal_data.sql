-- What is held of a user, to be given and to be taken away.

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
            'SELECT %L::text, to_jsonb(r) - ARRAY[''password_hash'', ''token'', ''token_hash'', ''hash'', ''p256dh'', ''auth'', ''banned_by'']
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
