-- A message that is scheduled twice under one id of its author's is one message: a request whose answer was lost
-- is made again without harm, also after somebody has taken the message back.

ALTER TABLE scheduled_messages ADD COLUMN client_message_id text, ADD COLUMN fingerprint bytea;
CREATE UNIQUE INDEX scheduled_messages_client_id ON scheduled_messages (user_id, chat_id, client_message_id)
    WHERE client_message_id IS NOT NULL;

ALTER TABLE scheduled_messages DROP CONSTRAINT scheduled_messages_status_check;
ALTER TABLE scheduled_messages ADD CONSTRAINT scheduled_messages_status_check
    CHECK (status IN ('pending', 'sent', 'failed', 'cancelled'));
CREATE INDEX scheduled_messages_cancelled ON scheduled_messages (user_id, send_at) WHERE status = 'cancelled';
