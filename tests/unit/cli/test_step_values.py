"""`segue show RUN --step NAME` shows what went in and what came out, without secrets, and not too much."""

from __future__ import annotations

from segue import Secret, Segue, checkpoint, task
from segue.cli.values import SHOWN
from segue.client.without_secrets import SHOWN_IN_JSON
from tests.unit.cli.conftest import Shell


@task
def login(user: str, password: str, options: dict[str, str]) -> dict[str, str]:
    return {"user": user, "token": password * 2}


@task
def long(size: int) -> str:
    return "x" * size


def test_a_step_shows_its_arguments_and_result(shell: Shell) -> None:
    run_id = shell.start("census", "monday")
    assert "result" not in shell("show", run_id, "--step", "list_paths").stdout
    shell("worker", "--burst", "--pool", "thread")
    text = shell("show", run_id, "--step", "list_paths").stdout
    assert 'arguments  "monday"' in text
    assert 'result     ["monday/0",' in text
    [step] = shell.json("show", run_id, "--step", "count[3]")["steps"]
    assert (step["arguments"], step["result"]) == ([["monday/3"], {}], 8)
    failed = shell.start("failing", "no luck")
    shell("worker", "--burst", "--pool", "thread")
    text = shell("show", failed, "--step", "fail").stdout
    assert 'arguments  "no luck"' in text
    assert "ValueError: no luck" in text


def test_secrets_are_masked_in_every_form(sqlite_shell: Shell) -> None:
    with Segue(sqlite_shell.url) as segue:
        segue.run(login, "ada", password="s3cret", options={"api_key": "k3y", "url": "https://ada:s3cret@example.org"})
        run = segue.runs()[0].id
        assert segue.get(run).step(0).info().arguments[1]["password"] == "s3cret"  # code may see it
    for words in (("--step", "0"), ("--step", "0", "--json"), ()):
        text = sqlite_shell("show", run, *words).stdout
        assert "s3cret" not in text, words
        assert "k3y" not in text, words
        assert "***" in text
        assert "ada" in text


@task
def upload(path: str, key: Secret[str]) -> None: ...


def test_secrets_by_position_are_masked_where_runs_are_shown(sqlite_shell: Shell) -> None:
    with Segue(sqlite_shell.url) as segue:
        segue.run(upload, "a.csv", "k3y-of-ada")
        segue.run(login, "ada", "s3cret-of-ada", {})
        first, second = (run.id for run in reversed(segue.runs()))
    for words in (
        ("show", first), ("show", first, "--step", "0"), ("show", second), ("show", second, "--json"),
        ("show", second, "--step", "0", "--json"), ("runs", "--json"),
        ("cancel", "--workflow", "login", "--dry-run", "--json"),
    ):  # fmt: skip
        text = sqlite_shell(*words).stdout
        assert "of-ada" not in text.replace("s3cret-of-adas3cret-of-ada", ""), words  # a result is not hidden


@task
def connect() -> None:
    checkpoint("log in", dict, {"user": "ada", "token": "red-of-ada"})
    print("password=moon-of-ada")  # noqa: T201 - what a task prints is kept
    raise ConnectionError("postgresql://app:sun-of-ada@db/shop is away")


@task
def make_key() -> Secret[str]:
    return "k3y-of-ada"


def test_errors_output_and_records_are_shown_without_secrets(sqlite_shell: Shell) -> None:
    with Segue(sqlite_shell.url) as segue:
        failed, made = segue.start(connect).id, segue.start(make_key).id
    sqlite_shell("worker", "--burst", "--pool", "thread")
    told = ""
    for words in (
        ("show", failed), ("show", failed, "--attempts"), ("show", failed, "--json", "--attempts"), ("explain", failed),
        ("show", failed, "--step", "0"), ("show", failed, "--step", "0", "--json"), ("explain", failed, "--json"),
        ("logs", failed, "0"), ("logs", failed, "0", "--json"), ("runs",), ("runs", "--json"),
        ("show", made, "--step", "0"), ("show", made, "--step", "0", "--json"),
    ):  # fmt: skip
        text = sqlite_shell(*words).output
        assert "of-ada" not in text, words
        told += text
    assert "postgresql://app:***@db/shop is away" in told
    assert "password=***" in told
    assert "of-ada" not in sqlite_shell("result", failed, exit_code=1).output
    assert sqlite_shell("result", made).stdout == '"k3y-of-ada"\n'  # for scripts


def test_long_values_are_cut(sqlite_shell: Shell) -> None:
    with Segue(sqlite_shell.url) as segue:
        segue.run(long, SHOWN_IN_JSON * 2)
        run = segue.runs()[0].id
    text = sqlite_shell("show", run, "--step", "long").stdout
    assert SHOWN - 10 < text.count("x") < SHOWN + 10
    [step] = sqlite_shell.json("show", run, "--step", "long")["steps"]
    assert step["result"].endswith("xxx… (200,002 characters)")
    assert len(step["result"]) < SHOWN_IN_JSON + 50


def test_what_a_task_returns_cannot_steer_the_terminal(sqlite_shell: Shell) -> None:
    with Segue(sqlite_shell.url) as segue:
        segue.run(login, "\x1b[2Jada", "p", {"\x1b[2J": "\u202e"})
        run = segue.runs()[0].id
    for words in ((), ("--json",)):
        text = sqlite_shell("show", run, "--step", "0", *words).stdout
        assert "\x1b" not in text
        assert "\u202e" not in text
