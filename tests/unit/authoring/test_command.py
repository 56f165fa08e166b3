"""Commands as steps: quoting, what they give, and that nothing of them stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.authoring import Cancelled, Context, ShellError, chain, shell, task, to_plan, use, workflow
from segue.authoring.command import filled, run_command
from segue.authoring.values import decode
from segue.errors import DefinitionError
from segue.model import Ref
from tests.unit.authoring.plan_runner import run_plan

pytestmark = pytest.mark.unit


@task
def path_of(name: str) -> dict[str, str]:
    return {"path": name}


def run(command: str, **options: Any) -> dict[str, Any]:
    return run_command.fn(command=command, values={}, **options)


class Alive:
    """A pipe that commands hold open: `wait_for_all` returns once none of them lives any more."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "alive"
        os.mkfifo(self.path)
        self._reading = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def wait_for_all(self) -> bytes:
        os.set_blocking(self._reading, True)
        said = b""
        while block := os.read(self._reading, 100):
            said += block
        os.close(self._reading)
        return said


def test_a_command_gives_its_exit_code_and_output(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("echo out; echo err >&2") == {"exit_code": 0, "output": "out\nerr\n"}
    assert capfd.readouterr().out == "out\nerr\n"


def test_an_exit_code_fails_the_step_unless_it_is_welcome() -> None:
    with pytest.raises(ShellError, match=r"exit code 3; its output ends with:\nbad") as caught:
        run("echo bad; exit 3")
    assert (caught.value.exit_code, caught.value.tail) == (3, "bad\n")
    assert run("exit 3", check=False) == {"exit_code": 3, "output": ""}


def test_only_the_tail_of_the_output_is_kept(tmp_path: Path) -> None:
    assert run("seq 1 1000", tail_bytes=9)["output"] == "999\n1000\n"
    assert run("pwd; echo $WORD", cwd=str(tmp_path), env={"WORD": "w"})["output"] == f"{tmp_path}\nw\n"


def test_a_command_reads_an_empty_standard_input() -> None:
    assert run("cat; echo end")["output"] == "end\n"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_values_are_quoted_as_one_word(value: str) -> None:
    import shlex

    text = filled("printf %s {x} {}", (value,), {"x": value})
    assert shlex.split(text) == ["printf", "%s", value, value]


def test_lists_become_several_words_and_parts_can_be_taken() -> None:
    assert filled("ls {x} {y[a]} {{}}", (), {"x": ["a b", "c"], "y": {"a": "$d"}}) == "ls 'a b' 'c' '$d' {}"
    with pytest.raises(DefinitionError, match="without a value"):
        filled("ls {x.__class__}", (), {"x": "a"})
    with pytest.raises(DefinitionError, match="without a value"):
        filled("ls {nope}", (), {})


@pytest.mark.parametrize("value", ["a\0b", "half \ud800", "x" * 200_000, ["a", "b\0"]])
def test_a_value_that_no_command_can_take_is_refused(value: Any) -> None:
    with pytest.raises(DefinitionError, match=r"NUL|surrogate|131,071") as refused:
        filled("echo {x}", (), {"x": value})
    assert len(str(refused.value)) < 500


def test_a_value_that_is_known_is_refused_where_it_is_written() -> None:
    with pytest.raises(DefinitionError, match="NUL"):
        shell("echo {x}", x="a\0b")


@pytest.mark.parametrize("command", ["", "   ", "awk '{print $1}'", "echo {", 5])
def test_a_command_that_cannot_be_read_says_what_to_write(command: Any) -> None:
    with pytest.raises(DefinitionError, match=r"\{\{|shell\("):
        shell(command)


def test_a_command_in_a_chain_takes_the_previous_result_when_it_asks_for_it() -> None:
    assert run_plan(to_plan(chain(path_of.s("a b"), shell("echo {path}"))))["output"] == "a b\n"
    quiet = to_plan(chain(path_of.s("a"), shell("true")))
    assert quiet.nodes[1].holes == ()
    assert quiet.nodes[1].parents == (0,)


def test_a_command_in_a_workflow_is_a_step() -> None:
    def packing() -> Any:
        packed = shell("echo {path}", path=path_of("x y")["path"], timeout=60, queue="disk", name="pack")
        return chain(path_of.s("z"), shell.s("echo {path}"))(), packed["output"]

    plan = workflow(name="test.packing")(packing).plan()
    pack = next(node for node in plan.nodes if node.name == "pack")
    assert (pack.task, pack.queue) == ("segue.shell", "disk")
    assert pack.holes[0].what == Ref(0, ("path",))
    assert decode(pack.args)[1]["timeout"] == 60
    assert pack.policy.timeout is not None
    assert pack.policy.timeout > 60
    assert run_plan(plan)[1] == "x y\n"


def test_a_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    alive = Alive(tmp_path)
    with pytest.raises(TimeoutError, match=r"after 0\.3 seconds"):
        run(f"exec 9>{alive.path}; echo begun >&9; sleep 100 & wait", timeout=0.3)
    assert alive.wait_for_all() == b"begun\n"


def test_a_cancelled_step_ends_the_whole_group(tmp_path: Path) -> None:
    alive = Alive(tmp_path)
    begun = tmp_path / "begun"
    context = Context("r", 0, 1, "s", "segue.shell", lambda *_: None, cancelled=begun.exists)
    with use(context), pytest.raises(Cancelled):
        run(f"exec 9>{alive.path}; echo begun >&9; touch {begun}; sleep 100 & wait")
    assert alive.wait_for_all() == b"begun\n"


def test_what_a_command_leaves_behind_is_ended(tmp_path: Path) -> None:
    alive = Alive(tmp_path)
    run(f"exec 9>{alive.path}; echo begun >&9; sleep 100 >/dev/null 2>&1 &")
    assert alive.wait_for_all() == b"begun\n"


def test_a_command_that_ignores_being_asked_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.authoring.command.GRACE_SECONDS", 0.1)
    alive = Alive(tmp_path)
    with pytest.raises(TimeoutError):
        run(f"exec 9>{alive.path}; trap '' TERM; sleep 100", timeout=0.2)
    assert alive.wait_for_all() == b""


def test_a_signal_is_told_as_such() -> None:
    assert run("kill -TERM $$", check=False)["exit_code"] == -signal.SIGTERM


def test_no_command_outlives_the_process_that_ran_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = (
        f"from segue.authoring.command import run_command as r; r.fn(command='exec 9>{pipe}; sleep 100', values={{}})"
    )
    runner = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    with pipe.open() as reading:  # opens once the command has its end of it open
        runner.kill()
        runner.wait()
        assert reading.read() == ""  # returns once nobody holds that end any more
