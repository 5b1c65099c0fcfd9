-- Admin: draining by the node feed, and who is an admin without reading everybody.

ALTER TABLE node_feed DROP CONSTRAINT node_feed_kind_check;
ALTER TABLE node_feed ADD CONSTRAINT node_feed_kind_check CHECK (kind IN (
        'chat.joined', 'chat.left', 'chat.updated', 'session.ended', 'user.banned', 'users.hidden',
        'node.drain'));

CREATE INDEX users_admins ON users (id) WHERE 'admin' = ANY (roles);
