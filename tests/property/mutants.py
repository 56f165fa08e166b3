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
TURN = "store/statements/turn.sql"
ENDING = "store/statements/ending.sql"
LIMITS = "tests/property/test_limits_hold.py"
RECOUNT, REOPEN, RESET = (
    "engine/reopening/recount.py",
    "engine/reopening/reopen.py",
    "store/statements/reopening.sqlite.sql",
)
REOPENED = "tests/property/test_reopened_runs_follow_the_model.py"
LIVE, AHEAD = "engine/reopening/live.py", "tests/contract/test_reopening_ahead.py"
VALUES = "tests/property/test_values_come_back.py"
RESERVED, FRAMES = "tests/property/test_reserved_keys_come_back.py", "tests/unit/plan/test_frames.py"
NEWER = "tests/contract/test_frames_of_newer_versions.py"
WAITS = "store/statements/waits.sql"
TAKES = "who_takes and sqlite"
SESSIONS = "tests/contract/test_postgres_sessions.py"
STORED, HELD = "tests/contract/test_store_values.py", "tests/contract/test_held_rows_on_postgres.py"
LOOP = "tests/unit/worker/test_worker.py"
QUOTING, SECRETS = "authoring/command_quoting.py", "authoring/secrets.py"
WORDS = "tests/property/test_values_stay_words.py"
EXTEND, DETOUR, EXTEND_SQL = (
    "tests/contract/test_extend.py",
    "tests/contract/test_detour.py",
    "store/statements/extend.sql",
)
EXECUTING, TRANSITIONS = "tests/contract/test_executing.py", "engine/transitions.py"
SENDING = "engine/claiming/sending.py"
FOLLOWER, FOLLOWERS = "executors/celery/follower.py", "tests/executors/celery/test_follower.py"
WINDOW, WINDOWS = "engine/claiming/window.py", "tests/contract/test_window.py"
PLAIN, PLAIN_TURNS = "store/statements/plain.postgres.sql", "tests/contract/test_plain_turns.py"
FINISH, PAUSES = "tests/contract/test_store_finish.py", "tests/contract/test_store_pausing.py"

CHECKPOINTS, SUSPENDED, CHECKPOINT_SQL = (
    "tests/contract/test_checkpoints.py",
    "tests/contract/test_suspended_tasks.py",
    "store/statements/checkpoints.sql",
)
JOURNAL = "attempt/journal.py"


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
    Mutant("no fence in the finish of many, SQLite", "store/sqlite_finish.py",
           "asked.pop((run_id, step, attempt, status), None)",
           "next((asked.pop(key) for key in list(asked) if (*key[:2], key[3]) == (run_id, step, status)), None)", folder=FINISH),
    Mutant("the finish of many asks for no status, SQLite", "store/sqlite_finish.py",
           "asked.pop((run_id, step, attempt, status), None)",
           "next((asked.pop(key) for key in list(asked) if key[:3] == (run_id, step, attempt)), None)", folder=FINISH),
    Mutant("no fence in finish, PostgreSQL", POSTGRES, "AND s.attempt = o.attempt AND", "AND", "postgres"),
    Mutant("no fence in the finish of one, PostgreSQL", POSTGRES, "AND s.attempt = :attempt AND s.status = :from_status",
           "AND :attempt::integer IS NOT NULL AND s.status = :from_status", "postgres"),
    Mutant("the finish of one asks for no status, PostgreSQL", POSTGRES, "AND s.attempt = :attempt AND s.status = :from_status",
           "AND s.attempt = :attempt AND :from_status::text IS NOT NULL", "postgres"),
    Mutant("a finish asks for no status, SQLite", SQLITE, "AND attempt = ?3 AND status = ?4",
           "AND attempt = ?3 AND ?4 IS NOT NULL"),
    Mutant("a finish asks for no status, PostgreSQL", POSTGRES, "AND s.status = o.from_status", "", "postgres"),
    Mutant("no fence in decide", "engine/transitions.py", "not in LIVE or event.attempt != step.attempt:", "not in LIVE or event.attempt < 0:"),
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
           "return Change(StepStatus.READY, step.attempt, step.failures, step.losses, cause=cause)",
           "return Change(StepStatus.READY, step.attempt, step.failures + 1, step.losses, cause=cause)"),
    Mutant("a claim does not count the attempt", SQLITE,
           "SET status = 'running', attempt = attempt + 1, worker_id = :worker_id, started_at = :now\nWHERE rowid IN (\n    SELECT rowid FROM segue_steps\n",
           "SET status = 'running', attempt = max(attempt, 1), worker_id = :worker_id, started_at = :now\nWHERE rowid IN (\n    SELECT rowid FROM segue_steps\n"),
    Mutant("a cancel leaves what is ready", TURN, "(status IN ('blocked', 'ready') OR", "(status IN ('blocked') OR"),
    Mutant("a cancel leaves the hooks of returned plans", ENDING, "AND (hook IS NULL OR scope <> -1)", "AND hook IS NULL",
        folder="tests/contract/test_store_hooks_and_plans.py"),
    Mutant("a run that is ending does not wait for what runs", ENDING,
           "{is_live} LIMIT 1;", "status IN ('sent') LIMIT 1;"),
    Mutant("a run that is ending goes on retrying", "engine/transitions.py",
           "if step.run_is_ending and verdict in _STARTS_MORE:", "if False and verdict in _STARTS_MORE:"),
    Mutant("finalizers are ended like other steps", "engine/locking.py", "return self.intent is not None and self.outcome is None",
           "return self.intent is not None", folder="tests/contract/test_retry.py"),
    Mutant("handlers do not take failures on", ENDING, "AND h.rule IN ('any_failed', 'any_succeeded', 'handler') AND h.status = 'succeeded'))\nORDER",
           "AND h.rule IN ('any_failed') AND h.status = 'blocked'))\nORDER"),
    Mutant("late parents count down a returned plan", "engine/expand.py", "if rule in EARLY_RULES:", "if False:"),
    Mutant("hooks are not skipped", "engine/propagate.py", "self._act.tx.all(\"skip_hook\"", "self._act.tx.all(\"hook_state\" if True else \"\""),
    Mutant("the run waits for its early children only", "engine/rows.py", "if node.rule not in", "if node.rule in JoinRule or node.rule not in"),
    Mutant("conditions are not looked at", "engine/claiming/assembling.py", "if when_expr is not None:\n                outcome", "if False:\n                outcome"),
    Mutant("a rescue forgets the run that fails fast", "engine/attempts.py", "if fails_run and", "if False and",
           folder="tests/contract/test_store_chores.py"),
    Mutant("an outcome said twice counts twice", "engine/record.py", "return plain, list(others.values())",
           "return plain, [o for o in outcomes if o.verdict != Verdict.SUCCEEDED]"),
    Mutant("one place too many", "engine/limiting/places.py", "> terms.concurrency:", "> terms.concurrency + 1:", folder=LIMITS),
    Mutant("costs are not counted", "engine/limiting/limit_rows.py", "taken.get(limit_key, 0) + use.cost * count", "taken.get(limit_key, 0) + count",
           folder=LIMITS),
    Mutant("keys are not told apart", "engine/limiting/limit_rows.py", "limit_key = (use.limit, use.key)", "limit_key = (use.limit, '')", folder=LIMITS),
    Mutant("tokens are not taken", "engine/claiming/charge.py", "    if full_at:", "    if False:", folder=LIMITS),
    Mutant("a limit of a queue binds no plain steps", "engine/claiming/candidates.py", "with_bound((), queue, tasks[0], 1, binding)", "()",
           folder=LIMITS),
    Mutant("what is held back holds up others", "engine/claiming/allocate.py", "                heappop(lanes)", "                lanes.clear()",
           folder="tests/contract/test_limits.py"),
    Mutant("an edit leaves a step under its old key", "engine/reopening/edit.py", "if moved != (planned or lane):", "if False:",
           folder="tests/contract/test_edited_keys.py"),
    Mutant("a start said again joins a second time", "store/statements/debounce.sql", "WHERE id = :id;", "WHERE id = :id AND false;",
           folder="tests/property/test_debounced_starts_are_kept.py"),
    Mutant("a run is given more than it can have", "engine/debounce.py", "if debounce.size + self._size > MOST_BYTES:", "if False:",
           folder="tests/contract/test_debounce.py"),
    Mutant("nobody looks for lanes", "engine/claiming/laned.py", "not self._has_looked and not rows and", "False and", folder=LIMITS),
    Mutant("limits are not locked", "store/statements/limits.postgres.sql",
           "FROM unnest(:names::text[], :keys::text[]) AS o(name, key)\nWHERE pg_try_advisory_xact_lock(hashtextextended('limit' || chr(31) || o.name || chr(31) || o.key, 7361736))",
           "FROM unnest(:names::text[], :keys::text[]) AS o(name, key)", "postgres", folder="tests/contract/test_limits_raced.py"),
    Mutant("places are counted before they are locked", "engine/claiming/sharing.py", "        seen = self._candidates.reread(seen)\n", "", "postgres",
           folder="tests/contract/test_limits_raced.py"),
    Mutant("a run is admitted that has no place", "engine/limiting/admission.py", "terms.concurrency - taken", "terms.concurrency - taken + 1",
           folder="tests/contract/test_admission.py"),
    Mutant("a run that is retried takes a place that it has not", "engine/reopening/rewrite.py", 'tx.later("hold_unadmitted", run_id=run_id)',
           "pass", folder="tests/contract/test_admission.py"),
    Mutant("a pause leaves what is ready", "engine/pausing.py", "        hold_steps(act.tx, [run_id])\n", "        pass\n"),
    Mutant("what a paused run sets free may be claimed, SQLite", SQLITE,
           "WHEN r.status = 'paused' THEN 'paused' END FROM", "END FROM", folder=PAUSES),
    Mutant("what a paused run sets free may be claimed, PostgreSQL", POSTGRES,
           "WHEN r.status = 'paused' THEN 'paused' END FROM", "END FROM", "postgres",
           folder=PAUSES),
    Mutant("what goes back in a paused run may be claimed", "engine/record.py", "hold_paused(self._act.tx, unusual)", "pass"),
    Mutant("a plain release in a paused run, SQLite", SQLITE, "AND r.status <> 'paused'\n", "\n", folder=PAUSES),
    Mutant("a plain release before all parents ended, SQLite", SQLITE, "step = ?3 AND waiting_on = ?4", "step = ?3 AND waiting_on >= ?4"),
    Mutant("a plain release of many before all parents ended, SQLite", SQLITE, "json_each(?3)) AND waiting_on = ?4", "json_each(?3)) AND waiting_on >= ?4", folder=FINISH),
    Mutant("a plain release after a failure, SQLite", SQLITE, "AND failed_above = 0 AND skipped_above", "AND skipped_above",
           folder=FINISH),
    Mutant("a plain release whatever the rule, SQLite", SQLITE, "status = 'blocked' AND rule = 'all_succeeded'", "status = 'blocked' AND rule IS NOT NULL"),
    Mutant("a plain release of what has a lane, SQLite", SQLITE, "AND ready_at IS NULL AND lane IS NULL", "AND ready_at IS NULL",
           folder="tests/contract/test_limits.py"),
    Mutant("a plain release of what is delayed, SQLite", SQLITE, "AND delay IS NULL AND ready_at", "AND ready_at", folder=FINISH),
    Mutant("a plain release before its time, SQLite", SQLITE, "AND delay IS NULL AND ready_at IS NULL", "AND delay IS NULL",
           folder=FINISH),
    Mutant("a plain end of a run that waits, SQLite", SQLITE, "WHERE id = ?2 AND waiting_on = ?3 AND intent", "WHERE id = ?2 AND waiting_on >= ?3 AND intent"),
    Mutant("what a pause has ended counts as a try", "engine/transitions.py", "and step.is_asked_to_end and verdict in", "and False and verdict in",
           folder="tests/contract/test_by_hand.py"),
    Mutant("a cancel leaves the run paused", "engine/control.py", "    if was_paused:\n        unpause", "    if False:\n        unpause",
           folder=PAUSES),
    Mutant("a resume leaves the gates", "store/statements/pausing.sql", "AND status = 'ready' AND gate = 'paused'",
           "AND status = 'ready' AND gate = 'no'"),
    Mutant("a message is taken by the step that waited least", WAITS, "ORDER BY ready_at, step LIMIT 1",
           "ORDER BY ready_at DESC, step LIMIT 1", TAKES),
    Mutant("a message is taken by the last of those that wait alike", WAITS, "ORDER BY ready_at, step LIMIT 1",
           "ORDER BY ready_at, step DESC LIMIT 1", TAKES),
    Mutant(
        "the last message is taken first", WAITS, "taken_by IS NULL ORDER BY position LIMIT",
        "taken_by IS NULL ORDER BY position DESC LIMIT", TAKES,
    ),
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
    Mutant("reopening: what was skipped stays so", REOPEN, "if number not in self.reset and (child.status in cascade or",
           "if number not in self.reset and (child.status in cascade - SKIPPED or", folder=REOPENED),
    Mutant("reopening: a run that was cancelled stays cancelled elsewhere", "engine/reopening/retry.py", "CANCELLED if undoes_end else NOTHING",
           "NOTHING", folder=REOPENED),
    Mutant("reopening: the plan that a task returned is kept", REOPEN, "            self._discard_plan(found)\n", "", folder=REOPENED),
    Mutant("reopening: a running step begins anew", "engine/reopening/retry.py", "    if reopening.busy:\n", "    if False:\n", folder=REOPENED),
    Mutant("reopening: tries are not given back", "store/statements/reopening.sql", "failures = 0, losses = 0, passed_on_to", "losses = 0, passed_on_to",
           folder=REOPENED),
    Mutant("reopening: the fence falls", RESET, "attempt = ?9,", "attempt = ?9 * 0,", folder=REOPENED),
    Mutant("reopening: what waits for more than before stays as it is", RECOUNT, "        if new == old:\n",
           "        if new == old or step.step in reopening.untouched:\n", folder=REOPENED),
    Mutant("large runs: what changed meanwhile is not looked at", LIVE, " or stamp != self._stamp:", ":", folder=AHEAD),
    Mutant("large runs: what ended meanwhile is waited for", LIVE, "counters.waiting_on -= 1", "counters.waiting_on -= 0", folder=AHEAD),
    Mutant("large runs: nobody sees that a claim took what begins anew", "engine/reopening/rewrite.py",
           "        if not resets.write(self._act.tx, self._run_id):\n", "        if resets.write(self._act.tx, self._run_id) is None:\n", "postgres",
           folder=AHEAD),
    Mutant("large runs: what a claim took begins anew under it", "store/statements/reopening.postgres.sql", "{reset_alike} AND status = 'ready' RETURNING 1", "{reset_alike} RETURNING 1",
           "postgres", folder=AHEAD),
    Mutant("a file that is gone is written to, SQLite", "store/sqlite.py", "                self._store._check(held)  # otherwise it may have been written to a file that was removed",
           "                pass", folder="tests/contract/test_sqlite_file.py"),
    Mutant("a file that was removed is made again, SQLite", "store/sqlite_file.py", "if self._was_there or not creates:", "if not creates:",
           folder="tests/contract/test_sqlite_file.py"),
    Mutant("a log of the file before is read, SQLite", "store/sqlite_file.py", "if self._log() == self._left_log:", "if False:",
           folder="tests/contract/test_sqlite_file.py"),
    Mutant("a file for everybody, SQLite", "store/sqlite_file.py", "PRIVATE = 0o600", "PRIVATE = 0o644", folder="tests/contract/test_sqlite_file.py"),
    Mutant("a thread that has ended keeps its connection, SQLite", "store/sqlite_held.py",
           "self._all: weakref.WeakSet[HeldConnection] = weakref.WeakSet()", "self._all: set[HeldConnection] = set()",
           folder="tests/contract/test_connections_given_back.py"),
    Mutant("a connection is closed while it is used, SQLite", "store/sqlite_held.py", "if self._lock.acquire(blocking=False):\n            try:",
           "if True:\n            try:", folder="tests/contract/test_connections_given_back.py"),
    Mutant("objects share nothing", "client/stores.py", "if shared is None or (shared.store.file is not None and shared.store.file.is_lost):", "if True:",
           folder="tests/contract/test_connections_given_back.py"),
    Mutant("an object that nobody holds keeps its connections", "client/stores.py", "    weakref.finalize(engine, use.forget)\n", "",
           "postgres", folder="tests/contract/test_connections_given_back.py"),
    Mutant("a session is lent as the last task left it, SQLite", "store/sqlite_lent.py", "if connection.is_revoked or not connection.is_as_new:",
           "if connection.is_revoked:", folder="tests/contract/test_transactional_on_sqlite.py"),
    Mutant("texts are not looked at", "client/given.py", '    "str": text, "str | None"', '    "str | None"', "wrong_input", folder="tests/contract/test_wrong_input.py"),
    Mutant("sessions: dates are as the server has them", "store/postgres_session.py", '    "DateStyle": "\'ISO, YMD\'",\n', "", "meaning", SESSIONS),
    Mutant("sessions: a lock is waited for without end", "store/postgres_session.py", 'f"{lock * 1000:.0f}"', '"0"', "lock_that", SESSIONS),
    Mutant("sessions: what broke while idle is handed out", "store/postgres_session.py", "if not self.line.poll(0):", "if True:", "restart", SESSIONS),
    Mutant("sessions: a fork shares them", "store/postgres.py", "        pid = os.getpid()\n        pool = self._pools.get(pid)", "        pid = 1\n        pool = self._pools.get(pid)",
           "fork_has", SESSIONS),
    Mutant("sessions: a read-only one is kept", "store/postgres.py", "    if code == READ_ONLY:", "    if False:", "read_only_for", SESSIONS),
    Mutant("sessions: a cancelled statement is for good", "store/postgres_errors.py", '"44", "54"}', '"44", "54", "57"}', "postgres_errors", "tests/unit/store"),
    Mutant("sessions: a password with an @ is shown", "config.py", 'rest.rfind("@")', 'rest.find("@")', "nowhere", "tests/unit/store"),
    Mutant("sessions: a NUL cuts a text", "store/postgres_wire.py", """            literal = value.encode()
            if "\\0" in value:""", """            literal = value.encode()
            if False:""", "kept_whole", SESSIONS),
    Mutant("sessions: a task keeps its connection", "store/postgres_lent.py", "former.is_lent, former.pgconn = False, pq.PGconn()", "former.is_lent = False",
           "who_keeps", "tests/contract/test_lent_sessions.py"),
    Mutant("sessions: a caller's search_path decides", "store/postgres_adopted.py", 'wanted["search_path"] = search_path(schema)', "pass",
           "settings", "tests/contract/test_adopted_connections.py"),
    Mutant("the database's clock jumps and nobody looks", "store/dbclock.py", "self._reading = fresh._replace(is_trusted=is_precise)\n\n    def now", "pass\n\n    def now",
           "jump", "tests/unit/store"),
    Mutant("values: what is read back is not compared", "authoring/shapes.py", "            return self.differs(given, back)\n", "            return None\n",
           "comes_back", VALUES),
    Mutant("values: a union takes the first that reads at all", "authoring/containers.py", "if self.language.spell(value) == text and member", "if member",
           "comes_back", "tests/unit/authoring/test_values_of_models.py"),
    Mutant("frames: a frame is spelt as a user's dict", "plan/frames.py", "OPENING = '{\"\\\\u0024segue.'", "OPENING = '{\"$segue.'", "arguments_results and sqlite", RESERVED),
    Mutant("frames: raw JSON of a user becomes one", "plan/writing.py", "return unframed(text)", "return text", "raw_json_of", FRAMES),
    Mutant("frames: raw JSON beside a future result becomes one", "authoring/templates.py", "return unframed(self._encode(template).decode())",
           "return self._encode(template).decode()", "beside_a_future and sqlite", NEWER),
    Mutant("frames: a reader takes them for dicts", "authoring/values.py", 'if "\\\\" in text and OPENING in text:  #', "if False:  #", "reads_it and sqlite", NEWER),
    Mutant("frames: a path leads into one", "plan/codec.py", "        if may_be_framed:", "        if False:", "leads_into", FRAMES),
    Mutant("frames: a key comes from one", "plan/key_sources.py", "    refuse_frame(raw)", "    pass", "key_is_taken", FRAMES),
    Mutant("frames: a condition is said to be damaged", "engine/resolve.py", "else bool(read(raw))", "else bool(_decode(raw))", "reads_it and sqlite", NEWER),
    Mutant("values: NaN is written as null", "plan/writing.py", '("null" in text and self._has_nan(value))', "False", "refused_by_name", VALUES),
    Mutant("values: keys are spelt by str() beside a handle", "authoring/templates.py", "pairs = [(key_text(key), item)", "pairs = [(str(key), item)",
           "spelt", VALUES),
    # Rows that are damaged, or held
    Mutant("what a claim cannot make out undoes its turn", "engine/claiming/assembling.py", "                self._bad[run_id, step] = error\n        return values", "                raise\n        return values",
           folder=STORED),
    Mutant("a wait that cannot begin undoes what its parent reported", "engine/waits.py", "except SerializationError as error:  # the fault of this step, not of the one that ended just now\n                self._fail(row, error)",
           "except SerializationError:\n                raise", folder=STORED),
    Mutant("whoever looks for free runs waits for them, PostgreSQL", POSTGRES, "FROM segue_runs WHERE id = ANY(:ids::uuid[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED;",
           "FROM segue_runs WHERE id = ANY(:ids::uuid[]) ORDER BY id FOR NO KEY UPDATE;", "recorded or rescued", HELD),
    Mutant("a rescue looks no further than a held run", "engine/chores.py", "aside += sorted(new - locked.keys())", "return list(locked.values()), [row for row in lost if row[0] in locked]", "hide_no_others", HELD),
    Mutant("a chore that fails for all is done for none", "engine/scope.py", "        done += on_its_own(engine, chore, run_id, work, give_up)", "        done += 0", "no_chore_raises", HELD),
    Mutant("what a lost worker claims counts as a loss", "engine/chores.py", 'worker_status == "stopped" or worker_id in just_lost', "True", "wrong_clock and sqlite", "tests/contract/test_store_chores.py"),
    Mutant("a success that meets a lock is written as a failure", "worker/sifting.py", "            self._waits_for_others(group, error)", "            self._is_refused(group, error)", "", LOOP),
    Mutant("an outcome that cannot be written ends the worker", "worker/worker.py", "except Exception as error:  # noqa: BLE001 - it is charged to the outcome or step that caused it", "except StoreError as error:", "", LOOP),
    Mutant("an outcome that cannot be written takes its neighbours with it", "worker/sifting.py", "        if len(group.outcomes) > 1:\n            self._aside.halve(group, at_once=True)\n            return\n        [outcome] = group.outcomes",
           "        outcome = group.outcomes[0]", "", LOOP),
    Mutant("guarded: a placeholder in a here-document is filled", QUOTING, "if HOLE in line:", "if False:", "refused", folder=WORDS),
    Mutant("guarded: quotes inside backticks are read over", QUOTING, "if _UNSURE_INSIDE.search(self._text[began : self._at - 1]):", "if False:",
           "refused", folder=WORDS),
    Mutant("guarded: a value is as the shell reads it", QUOTING, """.replace("'", "'\\"'\\"'")""", "", "word or command", folder=WORDS),
    Mutant("guarded: what a run is started with names a secret", SECRETS, "given = _given_to(frames)", 'given = ""', "arguments",
           folder="tests/unit/authoring/test_secrets.py"),
    Mutant("guarded: any URL carries what the code wrote elsewhere", SECRETS, "not text.startswith(beginning[0])", "False", "outside",
           folder="tests/unit/authoring/test_secrets.py"),
    Mutant("guarded: an answer may drip for ever", "authoring/posting.py", "        self.sock.settimeout(self.deadline.left())\n        count", "        count",
           "in_time", folder="tests/unit/authoring/test_posting.py"),
    Mutant("guarded: a cell of a table steers the terminal", "terminal.py", "yield Segment(printable(segment.text), segment.style)", "yield segment",
           "steers", folder="tests/unit/cli/test_output.py"),
    Mutant("pools: whatever is called a cancellation is one", "attempt/runner.py", "is_a(exc, *kinds) and self.is_to_end()",
           "is_a(exc, *kinds)", "nobody_asked or coroutine", folder="tests/system/test_pool_contract.py"),
    Mutant("pools: an exception is asked for its class", "given.py", "bases = _MRO(type(value))", "bases = _MRO(value.__class__)",
           folder="tests/system/test_hostile_values.py"),
    Mutant("pools: what is no frame is waited for", "worker/pool/wire.py", "if start < end and not buffer.startswith", "if False and not buffer.startswith", "frame",
           folder="tests/unit/pool/test_wire.py"),
    Mutant("pools: nothing is put back after an attempt", "worker/pool/child.py", "self._trust.wants_a_look(job.task)", "False",
           "finds", folder="tests/system/test_pool_rude.py"),
    Mutant("pools: no lease is renewed while an inline task runs", "worker/worker.py", 'if self._options.pool == "inline":',
           'if self._options.pool == "":', "longer and sqlite", folder="tests/system/test_inline.py"),
    Mutant("a turn does not say when what it started comes due", "engine/turn.py", "claim.is_full and recorded.started > len(rows):",
           "claim.is_full and False:", folder="tests/contract/test_store_finish.py"),
    Mutant("calls: those behind one that begins anew are kept", REOPEN, "            inside += [called, *self.graph.inside(called.step)]\n",
           "            inside += []\n", folder="tests/contract/test_store_calls.py"),
    Mutant("calls: a scope keeps the result of a call that is forgotten", "engine/reopening/rewrite.py",
           "for step in self._steps(self._reopening.recalled):", "for step in self._steps(set()):", folder=REOPENED),
    Mutant("calls: a step that may fail passes its place on", TURN, "AND b.hook IS NULL AND NOT b.may_fail\n", "AND b.hook IS NULL\n",
           folder=REOPENED),
    Mutant("parts: what is left to do is forgotten", "engine/propagate.py", "leave(self._act, self._queue)", "pass", folder=REOPENED),
    Mutant("parts: a retry does not wait for what is left to do", "engine/reopening/run_graph.py", "    refuse_unfinished(act.tx, run_id)\n", "",
           folder="tests/contract/test_store_parts.py"),
    Mutant("parts: a run that was changed meanwhile is reopened", "engine/reopening/ahead.py", "or stamp != ahead.stamp", "or False",
           folder="tests/contract/test_reopening_in_parts.py"),
    Mutant("parts: what may start does so before its run goes on", "engine/reopening/rewrite.py", "[_unarmed(row) for row in self._rows]",
           "[row for row in self._rows]", folder="tests/contract/test_reopening_in_parts.py"),
    Mutant("parts: further children are told nothing, SQLite", "store/sqlite_finish.py", "follow.append(Follow(run_id, step, RELEASED_AT_ONCE,",
           "follow.append(Follow(run_id, step, len(numbers),", folder="tests/contract/test_store_parts.py"),
    Mutant("sent: a begin counts in a paused run", TRANSITIONS, "if step.run_is_paused and step.is_fenced:", "if False:", folder=EXECUTING),
    Mutant("sent: what goes on outside is held by a pause", TRANSITIONS, "if step.run_is_paused and step.is_fenced:", "if step.run_is_paused:",
           folder=EXECUTING),
    Mutant("sent: a begin of an older attempt counts", TRANSITIONS, "is not StepStatus.SENT or event.attempt != step.attempt:",
           "is not StepStatus.SENT or event.attempt < 0:", folder=EXECUTING),
    Mutant("sent: a message that is sent again leaves a paused run", TRANSITIONS, "if step.run_is_ending or step.run_is_paused:", "if step.run_is_ending:",
           folder=EXECUTING),
    Mutant("sent: a retry of the platform is no failure", TRANSITIONS, "            failures = step.failures + 1\n            if event.held_until",
           "            failures = step.failures\n            if event.held_until", folder=EXECUTING),
    Mutant("sent: what may run already expires", TRANSITIONS, "if step.status is not StepStatus.READY and not _can_be_refused(step):",
           "if step.status is not StepStatus.READY and step.status is not StepStatus.SENT:", folder=EXECUTING),
    Mutant("sent: a cancel waits for what can be refused", TURN, "(status = 'sent' AND coalesce(fenced, true)));", "false);"),
    Mutant("sent: a cancel ends what may have begun", TURN, "(status = 'sent' AND coalesce(fenced, true)));", "status = 'sent');"),
    Mutant("sent: a pause asks what it will refuse", TURN, "(status = 'running' OR (status = 'sent' AND NOT coalesce(fenced, true)));",
           "(status = 'running' OR status = 'sent');", folder=EXECUTING),
    Mutant("sent: a failure that ends its run is cancelled by that", ENDING, "AND step <> :but;", "AND :but IS NOT NULL;", folder=EXECUTING),
    Mutant("sent: an end without a begin is refused", "engine/record.py", "unheard = [outcome for outcome in self._plain if self._is_unheard(outcome)]",
           "unheard = []", folder=EXECUTING),
    Mutant("sent: a failure without a begin does not requeue", TURN,
           "sent_until = NULL\nWHERE run_id = :run_id AND step = :step AND attempt = :attempt AND {is_live};",
           "sent_until = NULL\nWHERE run_id = :run_id AND step = :step AND attempt = :attempt AND status = 'running';", folder=EXECUTING),
    Mutant("sent: it holds no places", "store/statements/limits.sql",
           "\nUNION ALL SELECT queue, task, lane, count(*) FROM segue_steps WHERE status = 'sent' GROUP BY queue, task, lane;", ";", folder=EXECUTING),
    Mutant("sent: what a polled executor runs is rescued", "store/statements/workers.sql", "(w.id IS NULL AND (s.worker_id IS NOT NULL OR s.executor IS NULL));", "(w.id IS NULL);",
           folder=EXECUTING),
    Mutant("sent: who begins twice runs twice", "store/statements/executing.sql", "AND {is_running} AND worker_id = :worker_id;",
           "AND {is_running} AND :worker_id IS NOT NULL;", folder=EXECUTING),
    Mutant("sent: what waits behind a gate is sent", "store/statements/executing.sql", "AND status = 'ready' AND gate IS NULL AND task",
           "AND status = 'ready' AND task", folder=EXECUTING),
    Mutant("sending: limits bind no plain steps", SENDING, "if is_ours and namespace_of(name) == namespace:", "if False:", folder=LIMITS),
    Mutant("sending: nothing is done about lanes", SENDING, "if not self._candidates.finds_lanes():", "if True:", folder=LIMITS),
    Mutant("sending: places that come back are not looked at", SENDING, "if not (lanes.binding or lanes.is_active or self._freed):", "if not lanes.binding:",
           folder="tests/contract/test_sending.py"),
    Mutant("sending: nobody is told of places that are left", SENDING, "return self._freed > len(self.holding)", "return False",
           "postgres", folder="tests/contract/test_sending.py"),
    Mutant("sending: what becomes ready with a lane waits", SENDING, "if len(rows) >= min(self._expected, self._want):", "if True:",
           folder="tests/contract/test_sending.py"),
    Mutant("sending: a bound task has all steps of its queue", SENDING, 'return {"only": source.tasks[0], "but": []}', 'return {"only": None, "but": []}',
           folder="tests/contract/test_sending.py"),
    Mutant("sending: other steps are those of bound tasks, too", SENDING, "[task for other in self._plain(source.queue) for task in other.tasks]", "[]",
           folder="tests/contract/test_sending.py"),
    Mutant("sending: a message does not say that it holds places", "engine/dispatch.py", "(row.run_id, row.step, row.attempt) in holding", "False",
           folder="tests/contract/test_sending.py"),
    Mutant("sending: what was sent before a limit holds no place", "engine/dispatch.py", "if memory.lanes.binding:", "if False:",
           folder="tests/contract/test_sending.py"),
    Mutant("sending: a rate wakes nobody", "engine/dispatch.py", "[] if sending.look_seconds is None else [sending.look_seconds]", "[]",
           folder="tests/contract/test_sending.py"),
    Mutant("sent: nobody looks for what is overdue", "store/statements/executing.sql", "AND sent_until <= :now AND", "AND sent_until < :now AND", folder=EXECUTING),
    Mutant("an alarm ends a step that was claimed", "engine/transitions.py", "if step.status is not StepStatus.READY and not _can_be_refused(step):", "if False:",
           folder="tests/contract/test_store_alarms.py"),
    Mutant("plain: a pause is not seen", PLAIN, " OR r.status = 'paused'", "", "postgres", PLAIN_TURNS),
    Mutant("plain: an end that was asked for is not seen", PLAIN, "r.intent IS NOT NULL OR r.outcome", "r.outcome", "postgres", PLAIN_TURNS),
    Mutant("plain: a failure is overlooked at the end", PLAIN, "f.run_id = r.id AND f.status = 'failed'", "f.run_id = r.id AND false", "postgres", PLAIN_TURNS),
    Mutant("plain: hooks are not started", PLAIN, "(r.has_hooks\n            OR EXISTS", "(EXISTS", "postgres", PLAIN_TURNS),
    Mutant("plain: a join is given to workers", PLAIN, "(s.is_join OR s.rule", "(s.rule", "postgres", PLAIN_TURNS),
    Mutant("plain: a delay is not kept", PLAIN, " OR s.delay IS NOT NULL", "", "postgres", PLAIN_TURNS),
    Mutant("plain: a step is started that should be skipped", PLAIN, " OR s.rule IN ('any_failed', 'some_failed')", "", "postgres", PLAIN_TURNS),
    Mutant("plain: no fence", PLAIN, " AND attempt = o.attempt", "", "postgres", PLAIN_TURNS),
    Mutant("plain: no fence for one", PLAIN, " AND s.attempt = :attempt AND s.status = :from_status\n), edges", " AND s.status = :from_status\n), edges", "postgres", PLAIN_TURNS),
    Mutant("plain: no fence for a link", PLAIN, " AND s.attempt = :attempt AND s.status = :from_status\n    AND s.children", " AND s.status = :from_status\n    AND s.children",
           "postgres", PLAIN_TURNS),
    Mutant("plain: a link asks for no pause", PLAIN, " AND r.status <> 'paused'", "", "postgres", PLAIN_TURNS),
    Mutant("plain: a link starts a join", PLAIN, "NOT (k.is_join OR ", "NOT (", "postgres", PLAIN_TURNS),
    Mutant("plain: what was claimed is lost with its values", "engine/turn.py", "                self._make_jobs_apart(rows)", "                pass", "postgres", PLAIN_TURNS),
    Mutant("plain: what was claimed is lost with the rest of the turn", "engine/turn.py", "if not exchanged.rows and len(exchanged.left) == len(request.outcomes):", "if True:",
           "postgres", PLAIN_TURNS),
    Mutant("what is asked ahead is used though something came between", "engine/record.py", "if count[o.run_id] == 1", "if count[o.run_id] >= 1", "", PLAIN_TURNS),
    Mutant("extend: what gathers does not wait", EXTEND_SQL, "SET waiting_on = waiting_on + :more, holes", "SET waiting_on = waiting_on + 0 * :more, holes", folder=EXTEND),
    Mutant("extend: the results are not gathered", "engine/extend.py", "_with_more(hole.what, waiting.source, more) or hole.what", "hole.what", folder=EXTEND),
    Mutant("extend: what watches does not wait", "engine/extend.py", "more=len(_watched(plan)))", "more=0)", folder=EXTEND),
    Mutant("extend: a run does not wait for what nothing gathers", "engine/extend.py", '"run_waits_for_more", run_id=run_id, more=ends)', '"run_waits_for_more", run_id=run_id, more=0)',
           folder=EXTEND),
    Mutant("extend: tries are told apart by attempts", "engine/extend.py", "{step}:{found.facts.failures}:{key}", "{step}:{number}:{key}", folder=EXTEND),
    Mutant("extend: each try adds once more", "engine/extend.py", "{step}:{found.facts.failures}:{key}", "{step}:{key}", folder=EXTEND),
    Mutant("extend: a run that is being ended grows", "engine/transitions.py", "return REFUSED if step.run_is_ending else _become(step, step.status)",
           "return _become(step, step.status)", "does_not_grow", folder="tests/property/test_decisions_are_written.py"),
    Mutant("extend: what is added to a paused run starts", "engine/extend.py", "    hold_paused(act.tx, locked)\n", "", folder=EXTEND),
    Mutant("extend: only its own place counts", "engine/extend.py", "        step = place.scope\n", "        raise RunStateError('no')\n", folder=EXTEND),
    Mutant("window: nothing is full", WINDOW, "if count + most > size)", "if False)", folder=WINDOWS),
    Mutant("window: full queues are not left out", WINDOW, "if low <= queue < high:", "if False:", folder=WINDOWS),
    Mutant("window: what is behind a full queue waits", WINDOW, "low = queue + FIRST_CHARACTER", "low = high", folder=WINDOWS),
    Mutant("window: what is before a full queue waits", WINDOW, "found.append((low, queue))", "pass", folder=WINDOWS),
    Mutant("window: it does not grow with the places", WINDOW, "max(size, FOR_EACH_PLACE * int(places))", "size", folder=WINDOWS),
    Mutant("window: a full queue is never counted again", WINDOW, "self._monotonic() + holds if self.full else None", "None", folder=WINDOWS),
    Mutant("window: others are not woken for what is not sent", WINDOW, "        self._woke_at = now\n        return True", "        return False", "postgres", WINDOWS),
    Mutant("window: an end does not fill it up", "engine/dispatch.py", " or memory.window.is_due)", ")", folder=WINDOWS),
    Mutant("window: a node does not look again", SENDING, "*([] if again is None else [again])", "", folder=WINDOWS),
    Mutant("window: a first send is not bounded", SENDING, "min(want, UNCOUNTED)", "want", folder=WINDOWS),
    Mutant("window: full queues share slots with lanes", SENDING, "if queue not in self._full ", "", folder=WINDOWS),
    Mutant("follower: its own sleep is silence", FOLLOWER, "self._forgive(now)  # this", "pass  # this", folder=FOLLOWERS),
    Mutant("follower: a backend that is away is silence", FOLLOWER, "            self._is_away = True\n            self._forgive(now)",
           "            self._is_away = True", folder=FOLLOWERS),
    Mutant("follower: what cannot be read is sent again", FOLLOWER, "if not self._is_away:  # or what", "if True:  # or what", folder=FOLLOWERS),
    Mutant("follower: silence means nothing", FOLLOWER, "now - before[1] > self._silence_seconds", "False", folder=FOLLOWERS),
    Mutant("follower: one bad report keeps others", FOLLOWER, "for attempt in self._take_successes([report], by)]", "for attempt in ()]",
           folder=FOLLOWERS),
    Mutant("follower: a bad report is tried at each look", FOLLOWER, "[each for each in outside if each not in self._aside]", "list(outside)",
           folder=FOLLOWERS),
    Mutant("follower: a replacement may run anywhere", FOLLOWER, "if each.task not in (None, WAIT_FOR) and not is_theirs:", "if False:",
           folder=FOLLOWERS),
    Mutant("follower: a lost step has no result", FOLLOWER, "if outside.handle is None or not", "if True or not", folder=FOLLOWERS),
    Mutant("follower: a report is of any attempt", "executors/celery/reports.py", 'f"segue-{run_id}-{step}-{number}"', 'f"segue-{run_id}-{step}"',
           folder=FOLLOWERS),
    Mutant("follower: a retry sets what is Segue's own", "executors/celery/door.py", "options.items() if name not in OURS}\n        options |=",
           "options.items()}\n        options |=", folder=FOLLOWERS),
    Mutant("halt: it gives back what runs elsewhere", "executors/celery/halts.py", " and self._is_taken_here(attempt):", ":", "second_delivery",
           "tests/executors/celery/test_halts.py"),
    Mutant("detour: a failed try that is repeated takes it", "engine/record.py", "isinstance(end, (Growth, Finish)):", "True:", folder=DETOUR),
    Mutant("detour: nothing is passed by", "engine/detour.py", "in detour.pass_by:", "in ():", folder=DETOUR),
    Mutant("detour: nothing is skipped", "engine/detour.py", "in detour.skip:", "in ():", folder=DETOUR),
    Mutant("detour: a plain turn overlooks it", "engine/plain.py", " and outcome.detour is None", "", "postgres", DETOUR),
    Mutant("checkpoints have no fence", CHECKPOINT_SQL, "AND attempt = :attempt AND {is_running}", "AND :attempt IS NOT NULL",
           "taken_away and sqlite", CHECKPOINTS),
    Mutant("checkpoints are not compared with calls", JOURNAL, "            check_same(what, call, known)\n", "",
           "differ and sqlite", CHECKPOINTS),
    Mutant("checkpoints that failed are passed over", "attempt/calls.py", "raised.fingerprint != call.fingerprint", "False",
           "caught_failure and sqlite", CHECKPOINTS),
    Mutant("checkpoints that wait miss a message before the suspension", "engine/checkpoints.py",
           "last is not None and last.is_open(act.now)", "last is not None", "between and sqlite", SUSPENDED),
    Mutant("checkpoints that wait are not woken", CHECKPOINT_SQL, "gate IN ('timer', 'paused')", "gate = 'event'",
           "message and sqlite", SUSPENDED),
    Mutant("checkpoints survive a retry of what had succeeded", "engine/reopening/rewrite.py",
           "found.is_fresh or found.status_before", "found.is_fresh and found.status_before", "fresh_one and sqlite", SUSPENDED),
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
