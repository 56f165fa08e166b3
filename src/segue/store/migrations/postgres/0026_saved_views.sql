-- Lists of the web pages that people have given a name: a page with its filters, for one person or for all.
CREATE TABLE segue_saved_views (
    id text PRIMARY KEY,
    namespace text NOT NULL,
    owner text NOT NULL,      -- the name of the person whose it is; empty: it is for all
    name text NOT NULL,
    link text NOT NULL,       -- as "/runs?status=failed": below the root of the pages, never another site
    created_at timestamptz NOT NULL,
    created_by text
);
CREATE UNIQUE INDEX segue_saved_views_name ON segue_saved_views (namespace, owner, name);
