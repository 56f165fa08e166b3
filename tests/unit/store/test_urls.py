"""Where a database is, said so that another process finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.errors import ConfigError
from segue.store import absolute_url, open_store


def test_a_file_is_found_from_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = absolute_url("sqlite:///shop/segue.db")
    assert url == f"sqlite:///{tmp_path}/shop/segue.db"
    assert absolute_url(url) == url
    (tmp_path / "shop").mkdir()
    store = open_store(url)
    monkeypatch.chdir("/")
    store.upgrade()
    store.close()
    assert (tmp_path / "shop" / "segue.db").exists()


@pytest.mark.parametrize("url", ["postgresql://app@db.example.org/shop", "postgresql:///shop"])
def test_a_server_is_where_it_is(url: str) -> None:
    assert absolute_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["sqlite+aiosqlite://u:hush@/x", "sqlite:///x.db?key=hush", "sqlite+pysqlcipher://:hush@/x.db", "my://u:hush@h"],
)
def test_no_error_shows_a_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(url)
    assert "hush" not in str(caught.value)
