"""A pytest plugin: every app that Celery's own tests make is connected to Segue, with all canvases durable."""

from __future__ import annotations

import os
from typing import Any

from celery.contrib.testing import app as testing

from segue import Segue
from segue.executors.celery import install

URL = os.environ["SUITE_DATABASE"]
_plain = testing.TestApp
_kept: list[Segue] = []

with Segue(URL) as _first:
    _first.upgrade()


def durable_app(*args: Any, **kwargs: Any) -> Any:
    """An app as Celery's tests make it, with everything durable."""
    app = _plain(*args, **kwargs)
    _kept.append(Segue(URL))
    install(app, _kept[-1], canvas="durable")
    return app


testing.TestApp = durable_app
