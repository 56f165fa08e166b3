-- Payloads: what differs on PostgreSQL are batches, lists, and the order in which rows are locked.

-- name: put_payloads
-- columns: reference text, bytes bigint, stored_at timestamptz
INSERT INTO segue_payloads (reference, bytes, stored_at)
SELECT reference, bytes, stored_at FROM :batch ON CONFLICT DO NOTHING;

-- name: use_payloads
-- columns: run_id uuid, reference text
-- Not for a run that was deleted meanwhile: nothing would delete that use.
INSERT INTO segue_payload_uses (run_id, reference)
SELECT run_id, reference FROM :batch
WHERE (SELECT 1 FROM segue_runs r WHERE r.id >= run_id AND r.id <= run_id ORDER BY r.id LIMIT 1) IS NOT NULL ON CONFLICT DO NOTHING;

-- name: look_at_payloads
-- Before their uses are deleted. Runs that share payloads may be deleted at the same time, so the rows are locked in
-- their order.
WITH found AS MATERIALIZED (SELECT p.reference FROM segue_payloads p WHERE p.reference = ANY(ARRAY(
        SELECT u.reference FROM segue_payload_uses u WHERE u.run_id = ANY(:ids::uuid[])))
    ORDER BY p.reference FOR NO KEY UPDATE)
UPDATE segue_payloads p SET may_be_unused = true FROM found f WHERE p.reference = f.reference AND NOT p.may_be_unused;

-- name: prune_payload_uses
DELETE FROM segue_payload_uses WHERE run_id = ANY(:ids::uuid[]);

-- name: known_payloads
SELECT reference FROM segue_payloads WHERE reference = ANY(:references::text[]);

-- name: forget_payloads
DELETE FROM segue_payloads WHERE reference = ANY(:references::text[])
AND (SELECT 1 FROM segue_payload_uses u WHERE u.reference = segue_payloads.reference LIMIT 1) IS NULL RETURNING reference;
