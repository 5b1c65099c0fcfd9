-- GPs: located groups that live some hours.

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
