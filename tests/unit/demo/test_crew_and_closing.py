"""The demo's worker processes, and what is printed at the end."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

from segue.config import without_password
from segue.demo.closing import Ending, print_ending, program
from segue.demo.crew import Crew, worker_command
from segue.demo.findings import BatchFacts, FileFacts, LineCounts
from segue.demo.tally import tally_up

WAITS = [
    sys.executable,
    "-c",
    "import sys; print('ready', flush=True); sys.stdin.read(); import signal; signal.pause()",
]
SPEAKS_AND_ENDS = [
    sys.executable,
    "-c",
    "import os; print('url', os.environ['SEGUE_DATABASE_URL']); raise SystemExit(3)",
]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_worker_is_gone_and_another_can_be_hired(tmp_path: Path) -> None:
    with Crew(WAITS, database="sqlite:///x", log=tmp_path / "worker.log") as crew:
        first = crew.hire()
        assert is_alive(first)
        assert crew.kill() == first
        assert not is_alive(first)
        assert crew.exit_code == -9
        second = crew.hire()
        assert is_alive(second)
        assert crew.hired == 2
    assert not is_alive(second)


def test_the_url_goes_by_the_environment_and_the_last_words_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("of another crew\n")
    with Crew(SPEAKS_AND_ENDS, database="sqlite:///secret", log=log) as crew:
        crew.hire()
        assert crew._worker is not None
        assert crew._worker.wait(30) == 3
        assert crew.exit_code == 3
        assert crew.last_words() == "url sqlite:///secret"


def test_there_must_be_a_worker_to_kill(tmp_path: Path) -> None:
    crew = Crew(WAITS, database="", log=tmp_path / "worker.log")
    assert (crew.pid, crew.exit_code, crew.last_words()) == (None, None, "")
    with pytest.raises(RuntimeError, match="no worker to kill"):
        crew.kill()


def test_the_command_is_run_by_this_python() -> None:
    command = worker_command(module="m", queue="q", concurrency=2, lease_seconds=2.0)
    assert command[0] == sys.executable
    assert " ".join(command[1:]) == "-m segue worker -A m --queue q -c 2 --lease-seconds 2 --log-level warning"


@pytest.mark.parametrize(
    "url, shown",
    [
        ("sqlite:////tmp/segue.db", "sqlite:////tmp/segue.db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:pa%40ss@host:5433/db?x=1", "postgresql://me:***@host:5433/db?x=1"),
        ("postgresql:///db?user=me&password=secret&x=1", "postgresql:///db?user=me&password=***&x=1"),
        ("postgresql://host/db?sslpassword=secret", "postgresql://host/db?sslpassword=***"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    "repeated, cost",
    [(["parse[3]"], "the crash cost 1 step a second attempt: parse[3]"), ([], "no step had to run again")],
)
def test_the_end_shows_the_proof_the_cost_and_the_commands(repeated: list[str], cost: str) -> None:
    out = Console(file=io.StringIO(), width=140, color_system=None)
    facts = FileFacts("[bold]odd[/].py", LineCounts(code=1), imports=["os[red]"])
    listing = {"root": "/lib", "python": "3.11", "files": [facts.path], "batches": []}
    findings = tally_up(listing, [BatchFacts([facts])])  # type: ignore[arg-type]
    ending = Ending(
        run_id="01HX", database="postgresql://me:secret@host/db", report=Path("/tmp/report.html"),
        json=Path("/tmp/findings.json"), steps=5, seconds=3.25, workers=2, repeated=repeated, killed=True,
    )  # fmt: skip
    print_ending(out, findings, ending)
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    assert "each exactly once: 1 files listed, 1 counted, 0 twice, 0 missing" in text
    assert "5 steps in 3.2 s by 2 workers" in text or "5 steps in 3.3 s by 2 workers" in text
    assert cost in text
    assert "segue show 01HX\n" in text  # a password is not shown, and without it the URL would be of no use
    assert "os[red]" in text  # shown as it is, not read as markup
    assert "secret" not in text


def test_the_commands_can_be_typed_when_the_environment_is_not_active(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path(sys.executable).with_name("segue")
    monkeypatch.setenv("PATH", str(own.parent))
    assert program() == "segue"
    monkeypatch.setenv("PATH", "")
    assert Path(program()).resolve() == own.resolve()
