"""Which file a SQLite URL names, whatever is written into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.errors import ConfigError, SegueError
from segue.store import absolute_url, open_store
from segue.store.sqlite_path import path_of


@pytest.mark.parametrize(
    "url, path",
    [
        ("sqlite:///x.db", "{cwd}/x.db"),
        ("sqlite:////srv/x.db", "/srv/x.db"),
        ("sqlite:///a/../x.db", "{cwd}/a/../x.db"),
        ("sqlite+pysqlite:///x.db", "{cwd}/x.db"),
        ("sqlite+aiosqlite:////srv/x.db", "/srv/x.db"),
        ("sqlite:///my file%20#1.db", "{cwd}/my file%20#1.db"),
        ("sqlite:///~/x.db", "/home/ann/x.db"),
        ("sqlite:///~bob/x.db", "{cwd}/~bob/x.db"),
        ("sqlite:///c:x.db", "{cwd}/c:x.db"),
    ],
)
def test_a_url_names_a_file(url: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    store: Any = open_store(url)
    assert str(store.path) == path.format(cwd=tmp_path)
    monkeypatch.chdir("/")
    assert absolute_url(store.url) == store.url
    assert path_of(store.url) == store.path


@pytest.mark.parametrize(
    "url, why",
    [
        ("sqlite://host/x.db", "names no file"),
        ("sqlite:///   ", "names no file"),
        ("sqlite:///~", "names no file"),
        ("sqlite:///x.db?mode=ro", "supports neither options"),
        ("sqlite:///file:x.db?mode=ro", "`file:` URI"),
        ("sqlite:///file:x.db", "`file:` URI"),
        ("sqlite+pysqlcipher:///x.db", "pysqlcipher"),
        (r"sqlite:///C:\data\x.db", "Windows"),
        ("sqlite:///C:/data/x.db", "Windows"),
        ("sqlite:///x\0.db", "NUL"),
        ("sqlite:///x\udce9.db", "UTF-8"),
        ("sqlite:///folder/", r"a folder. Name a file in it: sqlite:///folder/segue\.db"),
    ],
)
def test_a_url_that_names_no_file_is_refused(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        open_store(url)


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_names_a_file_or_is_refused(text: str) -> None:
    try:
        path = path_of(f"sqlite:///{text}")
    except SegueError:
        return
    assert path.is_absolute()
    assert path_of(f"sqlite:///{path}") == path


def test_a_folder_that_is_gone_is_no_place_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="working directory, which no longer exists"):
        open_store("sqlite:///x.db")
    open_store("sqlite:////srv/x.db")
