"""What the pages list is what there is: errors, statuses, options, limits, invariants, reasons, tables."""

from __future__ import annotations

import inspect
import re
import sqlite3

from segue import errors
from segue.attempt import outcomes
from segue.attempt.outcomes import RESULT_LIMIT_BYTES
from segue.authoring import Cancelled, NoStepError, ShellError
from segue.authoring.command import DEFAULT_TAIL_BYTES
from segue.authoring.options import StepOptions, TaskOptions
from segue.authoring.trace import MAX_DEPTH
from segue.authoring.workflow import WorkflowOptions
from segue.client import Segue
from segue.engine.chores import PRUNE_AT_ONCE
from segue.engine.views import explain, why_sent
from segue.given import MESSAGE_LIMIT_BYTES, TRACEBACK_LIMIT_BYTES
from segue.model import Gate, Hook, JoinRule, JoinVerdict, Policy, RunStatus, StepStatus, Verdict, judge_join
from segue.plan import check
from segue.store import named
from segue.worker.pool import capture, process
from tests.docs.pages import DOCS, code_words, doc, rows, text_of

MIB, KIB = 2**20, 2**10


def documented(name: str) -> set[str]:
    return code_words(DOCS / f"{name}.md")


def section(name: str, heading: str) -> str:
    """The part of docs/NAME.md under a heading, up to the next one of its level or above."""
    level, _, _ = heading.partition(" ")
    _, found, rest = doc(name).partition(f"\n{heading}\n")
    assert found, f"docs/{name}.md has no heading {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, flags=re.MULTILINE)[0]


# Errors ---------------------------------------------------------------------------------------------------------------


def test_every_error_is_documented() -> None:
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, Exception)]
    names = {cls.__name__ for cls in (*classes, ShellError, NoStepError, Cancelled)}
    assert names - documented("errors") == set()


def test_the_builtins_of_errors_are_right() -> None:
    told = {row[0].strip("`"): row[1].strip("`") for row in rows(section("errors", "## Raised to the caller"))}
    for name, builtin in told.items():
        cls = getattr(errors, name, None)
        if cls is not None:
            found = [base.__name__ for base in cls.__mro__ if base.__module__ == "builtins"]
            assert builtin in found if builtin else found[0] == "Exception", name


def test_every_error_of_the_pools_is_documented() -> None:
    assert {outcomes.PROCESS_DIED, outcomes.TIMED_OUT, outcomes.NOT_SENT, "worker_lost"} - documented("errors") == set()


def test_every_reason_of_explain_is_documented() -> None:
    source = inspect.getsource(explain) + inspect.getsource(why_sent)
    codes = set(re.findall(r'Reason\(\s*"(\w+)"', source))
    told = {
        word for row in rows(section("errors", "## What to do when")) for word in re.findall(r"`(\w+)`", row[0])
    }  # fmt: skip
    ends = {status.value for status in StepStatus if status.is_final}
    assert codes | ends == told


# States ---------------------------------------------------------------------------------------------------------------


def test_every_status_is_documented() -> None:
    words = {str(word) for enum in (StepStatus, RunStatus, Gate, Verdict) for word in enum}
    workers = set(re.findall(r"'(\w+)'", worker_statuses()))
    assert {"running", "stopping", "stopped", "lost"} == workers
    assert (words | workers | {"lost"}) - documented("states") == set()


def test_the_tables_say_which_statuses_are_final() -> None:
    for heading, enum in (("## Steps", StepStatus), ("## Runs", RunStatus)):
        table = [row for row in rows(section("states", heading)) if len(row) == 3 and row[2] in ("yes", "no")]
        told = {row[0].strip("`"): row[2] for row in table}
        assert told == {status.value: "yes" if status.is_final else "no" for status in enum}


def worker_statuses() -> str:
    text = text_of(DOCS.parent / "src/segue/store/migrations/sqlite/0001_core.sql")
    _, _, table = text.partition("CREATE TABLE segue_workers")
    found = re.search(r"CHECK \(status IN \(([^)]*)\)", table)
    assert found is not None
    return found[1]


# Writing workflows ----------------------------------------------------------------------------------------------------


def test_every_option_is_in_the_table_with_its_default() -> None:
    head, *table = rows(section("writing-workflows", "## Options"))
    assert head[:4] == ["option", "task", "step", "default"]
    told = {row[0].strip("`"): row[1:4] for row in table}
    assert {name for name, row in told.items() if row[0] == "yes"} == set(TaskOptions.__annotations__)
    assert {name for name, row in told.items() if row[1] == "yes"} == set(StepOptions.__annotations__)
    for field, default in zip(Policy.__struct_fields__, Policy.__struct_defaults__, strict=True):
        assert told[field][2].strip("`") == ("none" if default is None else str(default)), field


def test_every_option_of_workflows_is_in_its_table() -> None:
    told = {
        word for row in rows(section("writing-workflows", "## Workflows")) for word in re.findall(r"`(\w+)`", row[0])
    }
    assert told == set(WorkflowOptions.__annotations__)
    assert f"{MAX_DEPTH} deep" in section("writing-workflows", "## Workflows")


def test_the_truth_table_of_join_rules_is_right() -> None:
    table = [row for row in rows(section("writing-workflows", "## Join rules")) if len(row) == 7]
    rules = [cell.strip("`") for cell in table[0][1:]]
    assert set(rules) == set(JoinRule)
    verdicts = {"starts": JoinVerdict.START, "skipped": JoinVerdict.SKIP}
    assert len(table) == 6
    for parents, *cells in table[1:]:
        ends = parents.split(", ")
        for rule, cell in zip(rules, cells, strict=True):
            failed, skipped, succeeded = (ends.count(end) for end in ("failed", "skipped", "succeeded"))
            assert judge_join(rule, 0, failed, skipped, succeeded) == verdicts[cell], (parents, rule)


def test_hooks_are_listed() -> None:
    told = {row[0].strip("`").rstrip("_") for row in rows(section("writing-workflows", "## Hooks"))[1:]}
    assert told == set(Hook)


def test_the_limits_are_those_of_the_code() -> None:
    told = {row[0]: row[1] for row in rows(section("writing-workflows", "## Limits"))}
    assert told["result of a task"].startswith(f"{RESULT_LIMIT_BYTES // MIB} MiB")
    assert told["arguments of a step"].startswith(f"{check.MAX_ARGUMENT_BYTES // MIB} MiB")
    assert told["steps in one plan"].startswith(f"{check.MAX_NODES:,};")
    assert told["name of a step"].startswith(f"{check.MAX_NAME_LENGTH} ")
    assert told["captured output of an attempt"] == f"the last {capture.TAIL_BYTES // KIB} KiB"
    assert told["traceback of an error"].startswith(f"{TRACEBACK_LIMIT_BYTES // KIB} KiB")
    assert told["message of an error or of progress"] == f"{MESSAGE_LIMIT_BYTES // KIB} KiB"
    assert f"({DEFAULT_TAIL_BYTES})" in section("writing-workflows", "## Shell commands")
    assert f"{process.KILL_GRACE_SECONDS:g} s later SIGKILL" in section("running", "## Pools")


# Promises and tables --------------------------------------------------------------------------------------------------


def test_every_invariant_is_listed() -> None:
    checks = {name for name in named.load("sqlite") if name.startswith("check_")}
    told = {row[0].strip("`") for row in rows(section("promises", "## `segue db check`"))[1:]}
    assert told == checks


def test_every_promise_names_a_test() -> None:
    numbers = re.findall(r"^## (\d+)\. ", doc("promises"), re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 17)]
    for part in re.split(r"^## \d+\. ", doc("promises"), flags=re.MULTILINE)[1:]:
        assert "*Proven by*" in part or "There are no schedules yet" in part or "There is no pause yet" in part, part[
            :60
        ]


def test_every_table_and_column_is_documented(sqlite_url: str) -> None:
    with Segue(sqlite_url) as segue:
        segue.upgrade()
    database = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    found = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]
    indexes = [
        row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql NOT NULL")
    ]
    for table in found:
        heading = next(line for line in doc("database").splitlines() if line.startswith("### ") and table in line)
        words = set(re.findall(r"`(\w+)`", section("database", heading)))
        columns = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        assert columns - words == set(), table
    database.close()
    told = {row[0].strip("`") for row in rows(section("database", "## Indexes"))[1:]}
    assert told - {"primary keys"} == set(indexes)


def test_figures_of_the_pages_on_retention_are_those_of_the_code() -> None:
    assert f"transactions of {PRUNE_AT_ONCE} runs" in " ".join(doc("database").split())
    assert "--older-than 30d" in section("running", "## Retention")
