"""The pages by subject. Each is a function from a `View` to a `Page`; `frame` renders them."""

from segue.web.pages import (
    admin,
    api_docs,
    approvals,
    errors,
    events,
    limits,
    now,
    queues,
    run,
    runs,
    schedule_forms,
    schedules,
    settings,
    subscriptions,
    workers,
    workflows,
)

MODULES = (
    admin, api_docs, approvals, errors, events, limits, now, queues, run, runs, schedule_forms, schedules, settings,
    subscriptions, workers, workflows,
)  # fmt: skip
"""What defines pages."""
