"""Shows that the property tests bite: breaks a copy of the source in one place at a time, and expects them to fail.

Not a test of its own, for it takes minutes. Run it from the root of the repository::

    python -m tests.property.mutants            # all of them
    python -m tests.property.mutants fence      # those whose name contains a word
"""

# ruff: noqa: E501 - lines of source and what becomes of them, as they are
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SQLITE, POSTGRES = "store/statements/sqlite.sql", "store/statements/postgres.sql"
COMMON = "store/statements/common.sql"


class Mutant(NamedTuple):
    """A promise that is broken, and how: `old` becomes `new` in one file."""

    name: str
    file: str
    old: str
    new: str
    tests: str = "sqlite"  # of the tests, those whose name contains this
    folder: str = "tests/property"  # what is too rare for random plans is in a contract


MUTANTS = (
    Mutant("no fence in finish, SQLite", SQLITE, "AND attempt = ?8 AND status = ?9", "AND ?8 IS NOT NULL AND status = ?9"),
    Mutant("no fence in finish, PostgreSQL", POSTGRES, "AND s.attempt = o.attempt AND", "AND", "postgres"),
    Mutant("no fence in the finish of one, PostgreSQL", POSTGRES, "AND s.attempt = :attempt AND s.status = :from_status",
           "AND :attempt::integer IS NOT NULL AND s.status = :from_status", "postgres"),
    Mutant("the finish of one asks for no status, PostgreSQL", POSTGRES, "AND s.attempt = :attempt AND s.status = :from_status",
           "AND s.attempt = :attempt AND :from_status::text IS NOT NULL", "postgres"),
    Mutant("a finish asks for no status, SQLite", SQLITE, "AND attempt = ?8 AND status = ?9",
           "AND attempt = ?8 AND ?9 IS NOT NULL"),
    Mutant("a finish asks for no status, PostgreSQL", POSTGRES, "AND s.status = o.from_status", "", "postgres"),
    Mutant("no fence in decide", "engine/transitions.py", "or event.attempt != step.attempt:", "or event.attempt < 0:"),
    Mutant("a child counts down by one, however many parents ended, SQLite", SQLITE,
           "SET waiting_on = waiting_on - ?1, failed_above", "SET waiting_on = waiting_on - min(?1, 1), failed_above"),
    Mutant("a child counts down by one, however many parents ended, PostgreSQL", POSTGRES,
           "s.waiting_on - e.total AS waiting_on", "s.waiting_on - 1 AS waiting_on", "postgres"),
    Mutant("the run counts down by one", SQLITE, "SET waiting_on = waiting_on - ?1 WHERE id", "SET waiting_on = waiting_on - min(?1, 1) WHERE id"),
    Mutant("all_succeeded does not look at skipped parents, SQLite", "model.py",
           "if rule == JoinRule.ALL_SUCCEEDED and (failed or skipped):", "if rule == JoinRule.ALL_SUCCEEDED and failed:"),
    Mutant("all_succeeded does not look at skipped parents, PostgreSQL", POSTGRES,
           "s.failed_above + e.failed + s.skipped_above + e.skipped > 0", "s.failed_above + e.failed > 0", "postgres"),
    Mutant("any_failed forgets earlier failures", POSTGRES,
           "WHEN s.rule = 'any_failed' AND s.failed_above + e.failed > 0 THEN 'start'",
           "WHEN s.rule = 'any_failed' AND e.failed > 1 THEN 'start'", "postgres"),
    Mutant("one retry too many", "engine/transitions.py", "failures > step.policy.retries", "failures > step.policy.retries + 1"),
    Mutant("one lost worker too many", "engine/transitions.py", "losses > step.policy.lost_retries", "losses > step.policy.lost_retries + 1"),
    Mutant("handed back counts as a failure", "engine/transitions.py",
           "return Change(StepStatus.READY, step.attempt, step.failures, step.losses, cause=\"released\")",
           "return Change(StepStatus.READY, step.attempt, step.failures + 1, step.losses, cause=\"released\")"),
    Mutant("a claim does not count the attempt", SQLITE,
           "SET status = 'running', attempt = attempt + 1, worker_id = :worker_id, started_at = :now\nWHERE rowid IN (\n    SELECT rowid FROM segue_steps\n",
           "SET status = 'running', attempt = max(attempt, 1), worker_id = :worker_id, started_at = :now\nWHERE rowid IN (\n    SELECT rowid FROM segue_steps\n"),
    Mutant("a cancel leaves what is ready", COMMON, "WHERE run_id = :run_id AND status IN ('blocked', 'ready') AND (hook",
           "WHERE run_id = :run_id AND status IN ('blocked') AND (hook"),
    Mutant("a cancel leaves the hooks of returned plans", COMMON, "AND (hook IS NULL OR scope <> -1)", "AND hook IS NULL",
        folder="tests/contract/test_store_hooks_and_plans.py"),
    Mutant("a run that is ending does not wait for what runs", COMMON,
           "WHERE run_id = :run_id AND status IN ('running', 'sent');\n\n-- name: hook_scope",
           "WHERE run_id = :run_id AND status IN ('sent');\n\n-- name: hook_scope"),
    Mutant("a run that is ending goes on retrying", "engine/record.py", "verdict = _while_ending(verdict)", "pass"),
    Mutant("finalizers are ended like other steps", SQLITE, "SELECT id, CASE WHEN outcome IS NULL THEN intent END, fail_fast",
           "SELECT id, intent, fail_fast"),
    Mutant("handlers do not take failures on", COMMON, "AND h.rule IN ('any_failed', 'any_succeeded', 'handler') AND h.status = 'succeeded'\n    AND h.step",
           "AND h.rule IN ('any_failed') AND h.status = 'blocked'\n    AND h.step"),
    Mutant("late parents count down a returned plan", "engine/expand.py", "if rule in EARLY_RULES:", "if False:"),
    Mutant("hooks are not skipped", "engine/settle.py", "self._tx.all(\"skip_hook\"", "self._tx.all(\"hook_state\" if True else \"\""),
    Mutant("the run waits for its early children only", "engine/rows.py", "if node.rule not in", "if node.rule in JoinRule or node.rule not in"),
    Mutant("conditions are not looked at", "engine/claim.py", "if when_expr is not None:\n                outcome", "if False:\n                outcome"),
    Mutant("a rescue forgets the run that fails fast", "engine/chores.py", "if fails_fast and", "if False and"),
    Mutant("an outcome said twice counts twice", "engine/record.py", "self._others = list(others.values())",
           "self._others = [o for o in outcomes if o.verdict != Verdict.SUCCEEDED]"),
)  # fmt: skip


def main(words: list[str]) -> int:
    """Try each mutant that one of the words names; the number of those that live is the exit code."""
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    living = [mutant.name for mutant in chosen if not _is_caught(mutant)]
    print(f"{len(chosen) - len(living)} of {len(chosen)} mutants were caught")  # noqa: T201
    return len(living)


def _is_caught(mutant: Mutant) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "src"
        shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
        file = copy / "segue" / mutant.file
        text = file.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            raise SystemExit(
                f"{mutant.name}: the text is {text.count(mutant.old)} times in {mutant.file}; mend the mutant"
            )
        file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "tests/property",
            "-x",
            "-q",
            "-k",
            mutant.tests,
            "-p",
            "no:cacheprovider",
        ]
        found = subprocess.run(
            [*command, "--hypothesis-profile=mutants", "--tb=line"], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(copy)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    caught = found.returncode == 1
    print(f"{'caught' if caught else 'LIVES '}  {mutant.name}", flush=True)  # noqa: T201
    if found.returncode not in (0, 1):
        raise SystemExit(found.stdout + found.stderr)
    return caught


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
