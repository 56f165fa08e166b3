-- What versions of the code define: batches.

-- name: put_definitions
-- columns: namespace text, version text, kind text, name text, module text, qualname text, title text, description text, parameters text, result text, options text, code_hash text, problem text
INSERT INTO segue_definitions (namespace, version, kind, name, module, qualname, title, description, parameters, result, options, code_hash, problem)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT DO NOTHING;
