-- What each version of the code defines: batches.

-- name: put_definitions
-- columns: namespace text, version text, kind text, name text, module text, qualname text, title text, description text, parameters text, result text, options text, code_hash text, problem text
INSERT INTO segue_definitions (namespace, version, kind, name, module, qualname, title, description, parameters, result, options, code_hash, problem)
SELECT namespace, version, kind, name, module, qualname, title, description, parameters, result, options, code_hash, problem
FROM :batch ON CONFLICT DO NOTHING;
