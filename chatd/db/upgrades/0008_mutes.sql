-- Mutes that hold everywhere; who is banned, found by an index.

CREATE TABLE server_mutes (                             -- who may read but not write, in every chat
    user_id      uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    muted_by     uuid NOT NULL,
    muted_until  timestamptz,                           -- null: for ever
    reason       text,
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX server_mutes_version ON server_mutes (updated_at);

CREATE INDEX users_banned ON users (id) WHERE banned_at IS NOT NULL;
