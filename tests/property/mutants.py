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
LIMITS = "tests/property/test_limits_hold.py"
RECOUNT, REOPEN, RESET = (
    "engine/reopening/recount.py",
    "engine/reopening/reopen.py",
    "store/statements/reopening.sqlite.sql",
)
REOPENED = "tests/property/test_reopened_runs_follow_the_model.py"
WAITS = "store/statements/waits.sql"
TAKES = "who_takes and sqlite"
FINISH, PAUSES = "tests/contract/test_store_finish.py", "tests/contract/test_store_pausing.py"


class Mutant(NamedTuple):
    """A promise that is broken, and how: `old` becomes `new` in one file."""

    name: str
    file: str
    old: str
    new: str
    tests: str = "sqlite"  # of the tests, those whose name contains this
    folder: str = "tests/property"  # what is too rare for random plans is in a contract


MUTANTS = (
    Mutant("no fence in finish, SQLite", SQLITE, "AND attempt = ?3 AND status = ?4", "AND ?3 IS NOT NULL AND status = ?4"),
    Mutant("no fence in the finish of many, SQLite", SQLITE, "AND attempt = o.column3 AND status", "AND status", folder=FINISH),
    Mutant("the finish of many asks for no status, SQLite", SQLITE, "AND attempt = o.column3 AND status = o.column4", "AND attempt = o.column3",
           folder=FINISH),
    Mutant("no fence in finish, PostgreSQL", POSTGRES, "AND s.attempt = o.attempt AND", "AND", "postgres"),
    Mutant("no fence in the finish of one, PostgreSQL", POSTGRES, "AND s.attempt = :attempt AND s.status = :from_status",
           "AND :attempt::integer IS NOT NULL AND s.status = :from_status", "postgres"),
    Mutant("the finish of one asks for no status, PostgreSQL", POSTGRES, "AND s.attempt = :attempt AND s.status = :from_status",
           "AND s.attempt = :attempt AND :from_status::text IS NOT NULL", "postgres"),
    Mutant("a finish asks for no status, SQLite", SQLITE, "AND attempt = ?3 AND status = ?4",
           "AND attempt = ?3 AND ?4 IS NOT NULL"),
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
    Mutant("one retry too many", "engine/transitions.py", "failures > step.policy.retries", "failures > step.policy.retries + 1",
           folder=FINISH),
    Mutant("one lost worker too many", "engine/transitions.py", "losses > step.policy.lost_retries", "losses > step.policy.lost_retries + 1",
           folder="tests/contract/test_store_chores.py"),
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
    Mutant("finalizers are ended like other steps", "engine/locking.py", "return self.intent is not None and self.outcome is None",
           "return self.intent is not None", folder="tests/contract/test_retry.py"),
    Mutant("handlers do not take failures on", COMMON, "AND h.rule IN ('any_failed', 'any_succeeded', 'handler') AND h.status = 'succeeded'))\nORDER",
           "AND h.rule IN ('any_failed') AND h.status = 'blocked'))\nORDER"),
    Mutant("late parents count down a returned plan", "engine/expand.py", "if rule in EARLY_RULES:", "if False:"),
    Mutant("hooks are not skipped", "engine/settle.py", "self._tx.all(\"skip_hook\"", "self._tx.all(\"hook_state\" if True else \"\""),
    Mutant("the run waits for its early children only", "engine/rows.py", "if node.rule not in", "if node.rule in JoinRule or node.rule not in"),
    Mutant("conditions are not looked at", "engine/claiming/claim.py", "if when_expr is not None:\n                outcome", "if False:\n                outcome"),
    Mutant("a rescue forgets the run that fails fast", "engine/chores.py", "if fails_fast and", "if False and",
           folder="tests/contract/test_store_chores.py"),
    Mutant("an outcome said twice counts twice", "engine/record.py", "self._others = list(others.values())",
           "self._others = [o for o in outcomes if o.verdict != Verdict.SUCCEEDED]"),
    Mutant("one place too many", "engine/claiming/places.py", "> terms.concurrency:", "> terms.concurrency + 1:", folder=LIMITS),
    Mutant("costs are not counted", "engine/claiming/standing.py", "taken.get(spot, 0) + use.cost * count", "taken.get(spot, 0) + count",
           folder=LIMITS),
    Mutant("keys are not told apart", "engine/claiming/standing.py", "spot = (use.limit, use.key)", "spot = (use.limit, '')", folder=LIMITS),
    Mutant("tokens are not taken", "engine/claiming/standing.py", "    if full_at:", "    if False:", folder=LIMITS),
    Mutant("a limit of a queue binds no plain steps", "engine/claiming/looking.py", "with_bound((), queue, tasks[0], 1, binding)", "()",
           folder=LIMITS),
    Mutant("what is held back holds up others", "engine/claiming/allot.py", "                heappop(lanes)", "                lanes.clear()",
           folder="tests/contract/test_limits.py"),
    Mutant("nobody looks for lanes", "engine/claiming/laned.py", "not self._has_looked and not rows and", "False and", folder=LIMITS),
    Mutant("limits are not locked", "store/statements/limits.postgres.sql",
           "FROM unnest(:names::text[], :keys::text[]) AS o(name, key)\nWHERE pg_try_advisory_xact_lock(hashtextextended('limit' || chr(31) || o.name || chr(31) || o.key, 7361736))",
           "FROM unnest(:names::text[], :keys::text[]) AS o(name, key)", "postgres", folder="tests/contract/test_limits_raced.py"),
    Mutant("places are counted before they are locked", "engine/claiming/laned.py", "        seen = self._looking.again(seen)\n", "", "postgres",
           folder="tests/contract/test_limits_raced.py"),
    Mutant("a run is admitted that has no place", "engine/admission.py", "terms.concurrency - taken", "terms.concurrency - taken + 1",
           folder="tests/contract/test_admission.py"),
    Mutant("a run that is retried takes a place that it has not", "engine/reopening/rewrite.py", 'tx.later("hold_unadmitted", run_id=run_id)',
           "pass", folder="tests/contract/test_admission.py"),
    Mutant("a pause leaves what is ready", "engine/pausing.py", "        hold_steps(tx, [run_id])\n", "        pass\n"),
    Mutant("what a paused run sets free may be claimed, SQLite", SQLITE,
           "WHEN r.status = 'paused' THEN 'paused' END FROM", "END FROM", folder=PAUSES),
    Mutant("what a paused run sets free may be claimed, PostgreSQL", POSTGRES,
           "WHEN r.status = 'paused' THEN 'paused' END FROM", "END FROM", "postgres",
           folder=PAUSES),
    Mutant("what goes back in a paused run may be claimed", "engine/record.py", "hold_paused(self._tx, unusual)", "pass"),
    Mutant("a plain release in a paused run, SQLite", SQLITE, "AND r.status <> 'paused'\n", "\n", folder=PAUSES),
    Mutant("a plain release before all parents ended, SQLite", SQLITE, "AND waiting_on = ?4 AND rule", "AND waiting_on >= ?4 AND rule"),
    Mutant("a plain release after a failure, SQLite", SQLITE, "AND failed_above = 0 AND skipped_above", "AND skipped_above",
           folder=FINISH),
    Mutant("a plain release whatever the rule, SQLite", SQLITE, "AND waiting_on = ?4 AND rule = 'all_succeeded'", "AND waiting_on = ?4 AND rule IS NOT NULL"),
    Mutant("a plain release of what has a lane, SQLite", SQLITE, "AND ready_at IS NULL AND lane IS NULL", "AND ready_at IS NULL",
           folder="tests/contract/test_limits.py"),
    Mutant("a plain release of what is delayed, SQLite", SQLITE, "AND delay IS NULL AND ready_at", "AND ready_at", folder=FINISH),
    Mutant("a plain release before its time, SQLite", SQLITE, "AND delay IS NULL AND ready_at IS NULL", "AND delay IS NULL",
           folder=FINISH),
    Mutant("a plain end of a run that waits, SQLite", SQLITE, "WHERE id = ?2 AND waiting_on = ?3 AND intent", "WHERE id = ?2 AND waiting_on >= ?3 AND intent"),
    Mutant("what a pause has ended counts as a try", "engine/record.py", "elif is_asked_to_end and verdict in", "elif False and verdict in",
           folder="tests/contract/test_by_hand.py"),
    Mutant("a cancel leaves the run paused", "engine/control.py", "    if was_paused:\n        unpause", "    if False:\n        unpause",
           folder=PAUSES),
    Mutant("a resume leaves the gates", "store/statements/pausing.sql", "AND status = 'ready' AND gate = 'paused'",
           "AND status = 'ready' AND gate = 'no'"),
    Mutant("a message is taken by the step that waited least", WAITS, "ORDER BY ready_at, step LIMIT 1",
           "ORDER BY ready_at DESC, step LIMIT 1", TAKES),
    Mutant("a message is taken by the last of those that wait alike", WAITS, "ORDER BY ready_at, step LIMIT 1",
           "ORDER BY ready_at, step DESC LIMIT 1", TAKES),
    Mutant("the last message is taken first", WAITS, "ORDER BY position LIMIT", "ORDER BY position DESC LIMIT", TAKES),
    Mutant("a message is not marked as taken", WAITS, "SET taken_by = :step", "SET taken_by = nullif(:step, :step)", TAKES),
    Mutant("a message is sent again under its key", "engine/sending.py", "if before is not None:", "if False:", TAKES),
    Mutant("a run that is over takes messages", "engine/sending.py", "if RunStatus(run.status).is_final:", "if False:", TAKES),
    Mutant("a wait does not see what was sent before", "engine/waits.py", "self._take_messages()", "pass", TAKES),
    Mutant("a wait never gives up", "engine/waits.py", "self._set_alarms()", "pass", TAKES),
    Mutant("reopening: nobody waits for what runs again beside its children", RECOUNT, "if step.is_final or step.scope in step.children",
           "if step.is_final or step.scope not in step.children", folder=REOPENED),
    Mutant("reopening: a parent counts down a child that went before it", RECOUNT, "if waits_again or goes_before else child",
           "if waits_again else child", folder=REOPENED),
    Mutant("reopening: an early step does not wait for its parents again", RECOUNT, "if waits_again or goes_before else child",
           "if goes_before else child", folder=REOPENED),
    Mutant("reopening: hooks keep the outcome of before", REOPEN, "return is_open or is_unknown", "return is_unknown", folder=REOPENED),
    Mutant("reopening: hooks run anew whatever begins anew", REOPEN, "return is_open or is_unknown", "return True", folder=REOPENED),
    Mutant("reopening: what was skipped stays so", REOPEN, "if number not in self.reset and (child.status in along or",
           "if number not in self.reset and (child.status in along - SKIPPED or", folder=REOPENED),
    Mutant("reopening: a run that was cancelled stays cancelled elsewhere", "engine/reopening/retry.py", "CANCELLED if goes_on else NOTHING",
           "NOTHING", folder=REOPENED),
    Mutant("reopening: the plan that a task returned is kept", REOPEN, "            self._empty(found)\n", "", folder=REOPENED),
    Mutant("reopening: a running step begins anew", "engine/reopening/retry.py", "    if reopening.busy:\n", "    if False:\n", folder=REOPENED),
    Mutant("reopening: tries are not given back", RESET, "attempt = ?9, failures = 0,", "attempt = ?9,", folder=REOPENED),
    Mutant("reopening: the fence falls", RESET, "attempt = ?9, failures", "attempt = ?9 * 0, failures", folder=REOPENED),
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
            mutant.folder,
            "-x",
            "-q",
            "-k",
            mutant.tests,
            "-p",
            "no:cacheprovider",
        ]
        profile = ["--hypothesis-profile=mutants"] if mutant.folder.startswith("tests/property") else []
        found = subprocess.run(
            [*command, *profile, "--tb=line"], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(copy)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    caught = found.returncode == 1
    print(f"{'caught' if caught else 'LIVES '}  {mutant.name}", flush=True)  # noqa: T201
    if found.returncode not in (0, 1):
        raise SystemExit(found.stdout + found.stderr)
    return caught


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
