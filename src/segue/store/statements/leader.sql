-- Which process is the leader and does the chores.

-- name: leader_row
SELECT holder, host, term, since, lease_until FROM segue_leader WHERE name = :name;

-- name: take_lead
-- The first process that finds the lease expired gets it. A leader that was slow and has not been replaced continues.
INSERT INTO segue_leader (name, holder, host, term, since, lease_until)
VALUES (:name, :holder, :host, 1, :now, :lease_until)
ON CONFLICT (name) DO UPDATE
SET term = segue_leader.term + CASE WHEN segue_leader.holder = excluded.holder THEN 0 ELSE 1 END,
    since = CASE WHEN segue_leader.holder = excluded.holder THEN segue_leader.since ELSE excluded.since END,
    holder = excluded.holder, host = excluded.host, lease_until = excluded.lease_until
WHERE segue_leader.holder = excluded.holder OR segue_leader.lease_until <= excluded.since
RETURNING term;

-- name: give_up_lead
UPDATE segue_leader SET lease_until = :now WHERE name = :name AND holder = :holder;
