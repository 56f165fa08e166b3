-- Values that lie in a payload store: which runs refer to which. Nothing here is sent for runs without such values.
-- `(SELECT 1 ... LIMIT 1) IS NULL` is looked up for each row. NOT EXISTS becomes a join, which statistics of an empty
-- table may turn into a search through all of it.

-- name: fork_payload_uses
-- After the rows are copied, so that nothing is missing: uses are only added while a run exists.
INSERT INTO segue_payload_uses (run_id, reference)
SELECT :new_id, reference FROM segue_payload_uses WHERE run_id = :run_id ON CONFLICT DO NOTHING;

-- name: keep_used_payloads
-- They are not looked at again until a run that uses them is deleted.
UPDATE segue_payloads SET may_be_unused = false WHERE reference IN (
    SELECT p.reference FROM segue_payloads p WHERE p.may_be_unused AND p.stored_at < :before
    AND (SELECT 1 FROM segue_payload_uses u WHERE u.reference = p.reference LIMIT 1) IS NOT NULL ORDER BY p.stored_at LIMIT :limit)
RETURNING reference;

-- name: unused_payloads
SELECT p.reference FROM segue_payloads p WHERE p.may_be_unused AND p.stored_at < :before
AND (SELECT 1 FROM segue_payload_uses u WHERE u.reference = p.reference LIMIT 1) IS NULL ORDER BY p.stored_at LIMIT :limit;

-- name: count_payloads
SELECT count(*), coalesce(sum(p.bytes), 0), (SELECT count(*) FROM segue_payloads l WHERE l.may_be_unused
    AND (SELECT 1 FROM segue_payload_uses u WHERE u.reference = l.reference LIMIT 1) IS NULL) FROM segue_payloads p;

-- name: check_payload_of_a_use
-- Every payload that a run uses is known.
SELECT u.run_id, 'payload ' || u.reference || ' is used, but not known' FROM segue_payload_uses u
WHERE (SELECT 1 FROM segue_payloads p WHERE p.reference = u.reference LIMIT 1) IS NULL;

-- name: check_use_of_no_run
-- Every use belongs to an existing run.
SELECT u.run_id, 'payload ' || u.reference || ' is used by no run' FROM segue_payload_uses u
WHERE (SELECT 1 FROM segue_runs r WHERE r.id >= u.run_id AND r.id <= u.run_id ORDER BY r.id LIMIT 1) IS NULL;
