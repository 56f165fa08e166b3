-- Payloads: what differs on SQLite are batches and lists.

-- name: put_payloads
-- columns: reference text, bytes bigint, stored_at timestamptz
INSERT INTO segue_payloads (reference, bytes, stored_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING;

-- name: use_payloads
-- columns: run_id uuid, reference text
-- Not for a run that was deleted meanwhile: nothing would delete that use.
INSERT INTO segue_payload_uses (run_id, reference)
SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM segue_runs r WHERE r.id = ?1) ON CONFLICT DO NOTHING;

-- name: look_at_payloads
-- Before their uses are deleted.
UPDATE segue_payloads SET may_be_unused = true WHERE reference IN (
    SELECT u.reference FROM segue_payload_uses u WHERE u.run_id IN (SELECT value FROM json_each(:ids)));

-- name: prune_payload_uses
DELETE FROM segue_payload_uses WHERE run_id IN (SELECT value FROM json_each(:ids));

-- name: known_payloads
SELECT reference FROM segue_payloads WHERE reference IN (SELECT value FROM json_each(:references));

-- name: forget_payloads
DELETE FROM segue_payloads WHERE reference IN (SELECT value FROM json_each(:references))
AND NOT EXISTS (SELECT 1 FROM segue_payload_uses u WHERE u.reference = segue_payloads.reference) RETURNING reference;
