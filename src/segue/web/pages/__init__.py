"""The pages by subject. Each is a function from a `View` to a `Page`; `frame` renders them."""

from segue.web.pages import (
    api_docs,
    bulk,
    compare,
    now,
    run,
    run_pictures,
    run_records,
    runs,
    search,
    starting,
    step,
)

MODULES = (api_docs, bulk, compare, now, run, run_pictures, run_records, runs, search, starting, step)
"""What defines pages."""
