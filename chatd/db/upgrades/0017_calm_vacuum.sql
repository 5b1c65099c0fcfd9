-- Autovacuum takes its time over the two tables that grow with every message. At the pace of its defaults a run
-- wrote and read so much within two seconds that sends waited up to 150 ms for the disk and the processor. At this
-- one it still gets through 500 pages a second that it changes: 4 MB, or some 10,000 messages. And no more is
-- sampled than plans depend on.

ALTER TABLE chat_messages SET (autovacuum_vacuum_cost_delay = 10, autovacuum_vacuum_cost_limit = 100);
ALTER TABLE chat_messages
    ALTER chat_id SET STATISTICS 20, ALTER seq SET STATISTICS 20, ALTER updated_seq SET STATISTICS 20,
    ALTER id SET STATISTICS 20, ALTER sender_id SET STATISTICS 20, ALTER client_message_id SET STATISTICS 0,
    ALTER fingerprint SET STATISTICS 0, ALTER content SET STATISTICS 0, ALTER reply_to SET STATISTICS 20,
    ALTER sent_at SET STATISTICS 20, ALTER edited_at SET STATISTICS 20, ALTER deleted_at SET STATISTICS 20,
    ALTER deleted_by SET STATISTICS 20, ALTER moderation_status SET STATISTICS 20,
    ALTER pinned_at SET STATISTICS 20, ALTER pinned_by SET STATISTICS 20;
ALTER INDEX chat_messages_client_id ALTER COLUMN 1 SET STATISTICS 20;

ALTER TABLE message_search SET (autovacuum_vacuum_cost_delay = 10, autovacuum_vacuum_cost_limit = 100);
ALTER TABLE message_search
    ALTER message_id SET STATISTICS 50, ALTER chat_id SET STATISTICS 50, ALTER sent_at SET STATISTICS 50,
    ALTER document SET STATISTICS 50;
