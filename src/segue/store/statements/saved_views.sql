-- Lists of the web pages that people have given a name.

-- name: list_saved_views
SELECT id, owner, name, link, created_at, created_by FROM segue_saved_views
WHERE namespace = :namespace AND owner IN (:owner, '');

-- name: count_saved_views
SELECT count(*) FROM segue_saved_views WHERE namespace = :namespace AND owner = :owner;

-- name: find_saved_view
SELECT id FROM segue_saved_views WHERE namespace = :namespace AND owner = :owner AND name = :name;

-- name: insert_saved_view
INSERT INTO segue_saved_views (id, namespace, owner, name, link, created_at, created_by)
VALUES (:id, :namespace, :owner, :name, :link, :now, :created_by)
ON CONFLICT (namespace, owner, name) DO NOTHING RETURNING id;

-- name: replace_saved_view
UPDATE segue_saved_views SET link = :link, created_at = :now, created_by = :created_by
WHERE namespace = :namespace AND owner = :owner AND name = :name RETURNING id;

-- name: delete_saved_view
DELETE FROM segue_saved_views WHERE namespace = :namespace AND owner = :owner AND id = :id RETURNING id;
