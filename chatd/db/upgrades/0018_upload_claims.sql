-- The claim of an upload is a lease that the upload renews, in this database's clock, so that it dies with the
-- process that held it. What it may bring counts against its owner's day while it comes.

ALTER TABLE media ADD COLUMN claim uuid, ADD COLUMN reserved bigint NOT NULL DEFAULT 0;

-- Claims of before lasted for more than an hour, whatever became of their process.
UPDATE media SET claimed_until = least(claimed_until, clock_timestamp() + interval '1 minute')
WHERE claimed_until > clock_timestamp();
