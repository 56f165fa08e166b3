"""docs/observing.md says which kinds of events there are, and the figures of the code."""

from __future__ import annotations

import re

from segue.authoring.webhook import DEFAULT_TIMEOUT, NOT_NOW, PATIENT, WebhookOptions
from segue.engine.watch import REREAD_SECONDS
from segue.observing.kinds import KINDS
from segue.observing.observers import FLUSH_SECONDS, MOST_WAITING, Event
from tests.docs.pages import doc, rows
from tests.docs.test_reference import section


def test_every_kind_of_event_is_in_the_table() -> None:
    table = rows(section("observing", "## Kinds of events"))
    told = [word for row in table for word in re.findall(r"`(\w+\.\w+)`", row[0])]
    assert sorted(told) == sorted(KINDS)


def test_every_field_of_an_event_is_named() -> None:
    words = set(re.findall(r"`(\w+)`", section("observing", "## Observers")))
    assert set(Event.__struct_fields__) - words == set()


def test_the_figures_are_those_of_the_code() -> None:
    text = " ".join(doc("observing").split())
    assert f"At most {MOST_WAITING:,} events wait" in text
    assert FLUSH_SECONDS == 2.0
    assert "two seconds at most" in text
    assert REREAD_SECONDS == 1.0
    assert "counts from about a second later" in text


def test_the_words_on_webhooks_are_those_of_the_code() -> None:
    page = section("observing", "## Webhooks")
    options = {word: row[2] for row in rows(page) if len(row) == 3 for word in re.findall(r"`(\w+)`", row[0])}
    assert set(WebhookOptions.__annotations__) & {"headers", "secret_env", "timeout"} <= options.keys()
    assert options["timeout"] == f"{DEFAULT_TIMEOUT:g}"
    assert options["retries"].startswith(f"{PATIENT.retries} retries: {PATIENT.retry_delay:g} s, 15 s, 45 s")
    assert ", ".join(map(str, sorted(NOT_NOW))) in page
