"""The log of a worker: what tasks log and print, how attempts and runs end, in each pool and each format."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from segue import Segue
from tests.system import logging_tasks
from tests.system.logging_tasks import charge, die, refuse
from tests.system.pool_driving import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC"


def burst(url: str, *words: str) -> str:
    """A worker process that works until nothing is left. Returns its log."""
    done = subprocess.run(
        [sys.executable, "-m", "segue", "worker", "-A", logging_tasks.__name__, "-c", "1", "--burst", *words],
        env=os.environ | {"SEGUE_DATABASE_URL": url}, cwd=ROOT, capture_output=True, text=True,
        timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def documents(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def only(records: list[dict[str, Any]], **wanted: str) -> dict[str, Any]:
    """The one record with these fields."""
    found = [each for each in records if all(each.get(name) == value for name, value in wanted.items())]
    assert len(found) == 1, (wanted, records)
    return found[0]


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_what_tasks_log_and_print_comes_once_with_its_attempt(sqlite_url: str, pool: str) -> None:
    with Segue(sqlite_url) as segue:
        charged, refused = segue.start(charge, 5), segue.start(refuse)
        log = burst(sqlite_url, "--pool", pool, "--log-format", "json", "--log-prints")
        records = documents(log)
        attempt = {"run": charged.id, "step": "charge", "attempt": 1}
        said = only(records, logger="shop.orders", level="INFO", message="charged 5 euro")
        assert attempt.items() <= said.items()
        assert said["euro"] == 5
        assert said["api_key"] == "***"
        assert said["worker"]
        assert attempt.items() <= only(records, logger="library.http", message="POST https://u:***@shop.test/").items()
        assert attempt.items() <= only(records, logger="segue.output", message="printed by charge").items()
        only(records, message="from another thread")
        assert "not to be seen" not in log
        assert "s3cret" not in log

        ended = only(records, logger="segue.attempts", run=charged.id)
        assert (ended["level"], ended["outcome"], ended["task"]) == ("INFO", "succeeded", charge.name)
        assert 0 < ended["seconds"] < PATIENCE_SECONDS
        assert "KeyError: 'card'" in only(records, message="cannot read the card")["traceback"]
        ended = only(records, logger="segue.attempts", run=refused.id)
        assert (ended["level"], ended["outcome"], ended["error"]) == ("WARNING", "failed", "ValueError")
        assert 'raise ValueError("no such card")' in ended["traceback"]
        assert only(records, logger="segue.runs")["run"] == refused.id

        output = charged.attempts()[0].output  # as it was, without what is logged of prints
        assert output.count("printed by charge") == output.count("charged 5 euro") == 1


def test_a_text_log_names_the_attempt_and_the_time_in_utc(sqlite_url: str) -> None:
    with Segue(sqlite_url) as segue:
        run = segue.start(charge, 5)
        log = burst(sqlite_url)
        where = rf"charge, attempt 1 of run {run.id}"
        assert re.search(rf"^{TIME} INFO    shop\.orders: charged 5 euro \[{where}\]$", log, re.MULTILINE)
        ended = rf"{re.escape(charge.name)} succeeded in 0\.\d{{3}} s \({where}\)"
        assert re.search(rf"^{TIME} INFO    segue\.attempts: {ended}$", log, re.MULTILINE)
        assert "printed by charge" not in log


def test_a_killed_child_loses_no_line_and_its_loss_is_said(sqlite_url: str) -> None:
    with Segue(sqlite_url) as segue:
        run = segue.start(die.options(retries=0))
        records = documents(burst(sqlite_url, "--log-format", "json", "--log-level", "info"))
        assert only(records, message="about to die")["run"] == run.id
        assert only(records, logger="segue.attempts")["level"] in ("WARNING", "ERROR")


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_level_holds_for_all_pools_and_the_output_is_kept(sqlite_url: str, pool: str) -> None:
    with Segue(sqlite_url) as segue:
        run = segue.start(charge, 5)
        log = burst(sqlite_url, "--pool", pool, "--log-level", "warning")
        assert "POST https" in log
        assert "charged 5 euro" not in log
        assert "segue.attempts" not in log
        assert "charged 5 euro" in run.attempts()[0].output


@pytest.mark.parametrize("suffix", ["json", "toml"])
def test_a_file_decides_where_which_record_goes(sqlite_url: str, tmp_path: Path, suffix: str) -> None:
    shop, rest = tmp_path / "shop.log", tmp_path / "rest.log"
    line = "%(levelname)s %(message)s %(run)s"
    settings: dict[str, Any] = {
        "formatters": {"line": {"format": line}, "json": {"()": "segue.logs.formats.JsonFormatter"}},
        "handlers": {
            "shop": {"class": "logging.FileHandler", "filename": str(shop), "formatter": "line"},
            "rest": {"class": "logging.FileHandler", "filename": str(rest), "formatter": "json"},
        },
        "loggers": {"shop": {"level": "DEBUG", "handlers": ["shop"], "propagate": False}},
        "root": {"level": "WARNING", "handlers": ["rest"]},
    }
    config = tmp_path / f"log.{suffix}"
    config.write_text(json.dumps(settings) if suffix == "json" else in_toml(settings))
    with Segue(sqlite_url) as segue:
        run = segue.start(charge, 5)
        burst(sqlite_url, "--log-config", str(config))
        assert f"INFO charged 5 euro {run.id}\n" in shop.read_text()
        assert "DEBUG not to be seen" in shop.read_text()
        assert [each["logger"] for each in documents(rest.read_text())] == ["library.http"]


def in_toml(settings: dict[str, Any], path: str = "") -> str:
    """Enough of TOML for this file."""
    plain = [
        f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in settings.items() if not isinstance(value, dict)
    ]
    tables = [
        in_toml(value, f"{path}.{json.dumps(name)}".lstrip("."))
        for name, value in settings.items()
        if isinstance(value, dict)
    ]
    return "".join([f"[{path}]\n" if path else "", *plain, *tables])
