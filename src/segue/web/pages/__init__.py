"""The pages by subject. Each is a function from a `View` to a `Page`; `frame` renders them."""

from segue.web.pages import (
    admin,
    api_docs,
    approvals,
    bulk,
    compare,
    errors,
    events,
    filtering,
    limits,
    now,
    queues,
    run,
    run_pictures,
    run_records,
    runs,
    saved_views,
    schedule_forms,
    schedules,
    search,
    settings,
    starting,
    step,
    subscriptions,
    workers,
    workflows,
)

MODULES = (
    admin, api_docs, approvals, bulk, compare, errors, events, filtering, limits, now, queues, run, run_pictures,
    run_records, runs, saved_views, schedule_forms, schedules, search, settings, starting, step, subscriptions, workers,
    workflows,
)  # fmt: skip
"""What defines pages."""
