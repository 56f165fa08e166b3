"""-A imports the user's code or says clearly why it cannot; names lead to workflows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from segue.authoring import declared
from segue.cli.application import find_work, import_modules
from segue.errors import ConfigError, UnknownTaskError
from tests.unit.cli.conftest import APP

SHOP = APP


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    import_modules([SHOP])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_working_directory_is_on_the_path(folder: Path) -> None:
    (folder / "cli_lonely_module.py").write_text("answer = 42")
    import_modules(["cli_lonely_module"])
    assert sys.modules.pop("cli_lonely_module").answer == 42


def test_a_module_that_breaks_shows_its_own_lines_only(folder: Path) -> None:
    (folder / "cli_broken_module.py").write_text("def go():\n    return 1 / 0\n\ngo()\n")
    with pytest.raises(ConfigError, match="cli_broken_module cannot be imported") as caught:
        import_modules(["cli_broken_module"])
    text = str(caught.value)
    assert "return 1 / 0" in text
    assert text.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "importlib" not in text
    assert "application.py" not in text


def test_what_segue_refuses_in_a_module_is_shown_where_it_stands_in_it(folder: Path) -> None:
    (folder / "cli_refused_module.py").write_text(
        "from segue import task\n\n\n@task(limits=['mail'])\ndef mail() -> None: ...\n"
    )
    with pytest.raises(ConfigError, match="cli_refused_module cannot be imported") as caught:
        import_modules(["cli_refused_module"])
    text = str(caught.value)
    assert 'cli_refused_module.py", line 4' in text
    assert "write limits=[Limit(" in text
    assert "authoring" not in text


def test_a_module_that_imports_what_is_not_there_is_broken_and_not_missing(folder: Path) -> None:
    (folder / "cli_needy_module.py").write_text("import no_such_library")
    with pytest.raises(ConfigError, match="cli_needy_module cannot be imported") as caught:
        import_modules(["cli_needy_module"])
    assert "No module named 'no_such_library'" in str(caught.value)


@pytest.mark.parametrize("name", ["no_such_module", "no_such_package.tasks", f"{SHOP}.nothing"])
def test_a_module_that_is_not_there_is_named(name: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=f"for -A {name}") as caught:
        import_modules([name])
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ["shop/tasks.py", "./shop/tasks.py"])
def test_a_file_is_no_module(name: str) -> None:
    with pytest.raises(ConfigError, match=r"write -A shop\.tasks"):
        import_modules([name])


@pytest.mark.parametrize("name", [f"{SHOP}.census", "census", "count", f"{SHOP}:counting", f"{SHOP}.counting"])
def test_names_lead_to_what_can_be_started(name: str) -> None:
    assert find_work(name) is getattr(sys.modules[SHOP], name.replace(":", ".").rpartition(".")[2])


def test_a_near_miss_is_guessed() -> None:
    with pytest.raises(UnknownTaskError, match="Did you mean 'census'"):
        find_work("cencus")


def test_what_cannot_be_started_is_refused() -> None:
    with pytest.raises(UnknownTaskError, match="int, which cannot be started"):
        find_work(f"{SHOP}.not_startable")
    with pytest.raises(UnknownTaskError, match="has no attribute 'nothing'"):
        find_work(f"{SHOP}.nothing")


def test_a_short_name_of_two_workflows_is_ambiguous(folder: Path) -> None:
    text = "from segue import workflow\n@workflow\ndef cli_same_name(): ...\n"
    for name in ("cli_first_module", "cli_second_module"):
        (folder / f"{name}.py").write_text(text)
        import_modules([name])
    with pytest.raises(UnknownTaskError, match=r"cli_first_module\.cli_same_name or cli_second_module\.cli_same_name"):
        find_work("cli_same_name")


def test_what_is_built_in_is_in_nobodys_way(folder: Path) -> None:
    (folder / "cli_sleepy_module.py").write_text("from segue import task\n\n@task\ndef sleep(): ...\n")
    assert find_work("sleep").name == "segue.sleep"
    import_modules(["cli_sleepy_module"])
    assert find_work("sleep").name == "cli_sleepy_module.sleep"
    del declared.tasks["cli_sleepy_module.sleep"]


def test_a_module_may_break_with_what_is_no_exception(folder: Path) -> None:
    (folder / "cli_leaving_module.py").write_text("class Leave(BaseException): ...\n\n\nraise Leave('for good')\n")
    with pytest.raises(ConfigError, match=r"cannot be imported(?s:.)*Leave: for good"):
        import_modules(["cli_leaving_module"])


def test_a_current_folder_that_was_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="current folder"):
        import_modules(["json"])
