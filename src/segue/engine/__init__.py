"""The engine: everything that changes a run, and the only writer of statuses.

An *act* is one transaction: an `Act` (`act.py`) holds the transaction, its time, and the events for observers. Every
act may be repeated, and a process may die before or after it; only the database remembers.

**The acts.** `Engine` (`engine.py`) opens the transaction of each, repeats it after a deadlock or a lost connection,
and continues what was too large for one.

    start          start.py, expand.py      plans become rows: rows.py works them out before the transaction
    a turn         turn.py                  what a worker reports and what it gets, in one transaction; plain.py sends
                                            the commit along where nothing needs a look (turn_request.py and
                                            turn_memory.py have its input, result and memory); otherwise:
                                            reporting.py and record.py take outcomes, attempts.py ends attempts by
                                            the rules of transitions.py (foresight.py asks ahead about plans),
                                            propagate.py carries ends down the graph,
                                            claiming/ gives the worker its next steps
    executors      executing.py,            steps at an executor outside: sent, begun, recalled, sent again;
                   dispatch.py              what its processes report and may send, in one transaction;
                                            halting.py: they acknowledge a pause
    messages       sending.py, waits.py     a message finds the step that waits for it, or is kept
    checkpoints    checkpoints.py           what a task records inside its step, its sleeps and waits; a message for it
    timers         alarms.py                deadlines, timeouts of waits, alerts; the leader handles those that are due
    verbs          control.py, pausing.py,  what people do to a run: cancel, pause, resume,
                   reopening/               retry, skip, mark, edit, fork
    chores         chores.py, retention.py  rescue of lost workers, deletion of old runs
    starts put     debounce.py              many starts with one key become one run
    together
    a task's own   transactional.py         the transaction in which a task wrote records its outcome as well
    transaction

**The lock.** An act that changes steps of a run holds the row of the run (`locking.py`), so acts on one run take turns.
Locks are taken in one order: a step's rows after its run, runs by id, limits by name and key. A claim takes no run's
lock: it takes ready steps that are not locked, and skips the others. Chores skip what is locked.

**Who writes which status.** The rules are in `transitions.py`, which is pure; the statements in `store/statements`
apply them with compare-and-set on (run, step, attempt, status).

    blocked               start.py, expand.py; reopening/ when a step waits for its parents again
    ready                 the same, for steps without parents; propagate.py, which releases children; attempts.py,
                          for another try; executing.py, for a begin that is refused; checkpoints.py, for a task
                          that sleeps or waits
    sent                  claiming/; executing.py; attempts.py, for a retry that an executor's broker holds
    running               claiming/; executing.py, for a begin
    succeeded, failed,    record.py and attempts.py, for an attempt; propagate.py, for joins, plans and what follows;
    skipped, cancelled    waits.py and alarms.py, for waits; ending.py, for what has not begun when a run ends early;
                          reopening/manual.py, when a person sets them
    of a run              notes.py, when it begins; pausing.py; ending.py, which writes the intent to end;
                          propagate.py, when it has ended; reopening/rewrite.py, when it continues
    a damaged run         breaking.py ends it, regardless of its rows

**Large runs.** No transaction holds a run for longer than a second. Work that does not fit is recorded with the act
(`unfinished.py`) and done in parts (`parts.py`) by any process; `docs/promises.md` says what can be seen in between.

**Reading.** `views/` reads and changes nothing. `limiting/` counts places and decides which runs may begin; it does not
know the outcomes of steps. `notes.py`, `watch.py`, `subscriptions.py` and `audit.py` report events.
"""
