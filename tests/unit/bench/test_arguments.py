"""What `segue bench` may be asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.bench import main
from segue.bench.command import WORKS, parse, sites_of
from segue.errors import ConfigError


def test_everything_is_measured_on_sqlite_when_nothing_is_said() -> None:
    asked = parse([])
    assert asked.only == WORKS
    assert (asked.database, asked.repeat, asked.pool, asked.quick, asked.json) == ([], None, "process", False, None)


def test_works_are_taken_in_the_order_of_the_table() -> None:
    asked = parse(["--only", "drain, chain", "--repeat", "7", "-c", "3", "--json", "out.json"])
    assert asked.only == ("chain", "drain")
    assert (asked.repeat, asked.concurrency, asked.json) == (7, 3, Path("out.json"))


@pytest.mark.parametrize(
    "argv", [["--only", "chian"], ["--only", ","], ["--repeat", "0"], ["--pool", "async"], ["-c", "two"]]
)
def test_what_cannot_be_asked_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert "usage: segue bench" in capsys.readouterr().err


def test_an_unknown_kind_of_database_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--database", "mysql://localhost/x"]) == 2
    assert "not a database that can be measured" in " ".join(capsys.readouterr().err.split())


def test_databases_get_names_of_their_own() -> None:
    sites = sites_of(["postgresql://one/a", "postgresql://two/a"], with_sqlite=True)
    assert list(sites) == ["SQLite", "PostgreSQL", "PostgreSQL 2"]


def test_a_named_sqlite_takes_the_place_of_the_temporary_one(tmp_path: Path) -> None:
    assert list(sites_of([f"sqlite:///{tmp_path}/any.db"], with_sqlite=True)) == ["SQLite"]


def test_no_database_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="--no-sqlite leaves no database"):
        sites_of([], with_sqlite=False)
