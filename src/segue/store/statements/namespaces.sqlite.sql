-- Parts: the namespace of a stored name with the character behind it, '' for the default namespace. See plan/namespaces.py.

-- name: prefix_of_run
substr(r.workflow, 1, instr(r.workflow, char(31)));

-- name: prefix_of_queue
substr(queue, 1, instr(queue, char(31)));

-- name: is_namespaced
-- As the index on runs in namespaces has it.
instr(r.workflow, char(31)) > 0;
