-- Mail, safety of the accounts, devices and push, notifications, personal data.

ALTER TABLE sessions ADD COLUMN address text;           -- where it was opened from

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

-- Messages of the last seconds, for push. A BRIN index costs an insert next to nothing.
CREATE INDEX chat_messages_sent ON chat_messages USING brin (sent_at) WITH (pages_per_range = 16, autosummarize = on);

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
