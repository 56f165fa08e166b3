"""What the Tab key completes besides commands and options: runs, their steps, workflows, schedules, queues and limits.

Promise: it is quick and silent. If the database does not answer within PATIENCE_SECONDS, cannot be reached, or does not
exist yet, there are no candidates; nothing is printed, and nothing is created. The user's modules are not imported.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from pathlib import Path

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from segue.cli.options import Setup
from segue.client import Segue
from segue.model import short_id

VARIABLE = "_SEGUE_COMPLETE"  # set by the scripts of `segue completion`
PATIENCE_SECONDS = 1.0
MOST_RUNS = 200
MOST_STEPS = 500
_SQLITE = "sqlite:///"

Candidates = Iterable[tuple[str, str]]  # what is typed, and what it is
Finder = Callable[[Segue, click.Context], Candidates]
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completer(find: Callable[[Segue], Candidates]) -> Completer:
    return _completer_in(lambda segue, _ctx: find(segue))


def _completer_in(find: Finder) -> Completer:
    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, word = incomplete.rpartition(",")
        setup = ctx.find_object(Setup) or Setup()
        found = [each for each in _within_patience(setup, lambda segue: find(segue, ctx)) if each[0].startswith(word)]
        return [CompletionItem(before + comma + value, help=said) for value, said in found]

    return complete


def _within_patience(setup: Setup, find: Callable[[Segue], Candidates]) -> list[tuple[str, str]]:
    """The candidates, from a thread that is left behind if the database keeps it waiting."""
    found: list[tuple[str, str]] = []

    def look() -> None:
        try:
            if _exists(setup.url):
                with setup.segue() as segue:
                    found.extend(find(segue))
        except Exception:  # noqa: BLE001 - whatever is wrong, another command says it
            found.clear()

    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            thread = threading.Thread(target=look, daemon=True)
            thread.start()
            thread.join(PATIENCE_SECONDS)
            return list(found) if not thread.is_alive() else []
    finally:
        logging.disable(before)


def _exists(url: str) -> bool:
    """False for a SQLite file that is not there: reading would create it."""
    return not url.startswith(_SQLITE) or Path(url.removeprefix(_SQLITE).partition("?")[0]).exists()


def _runs(segue: Segue) -> Candidates:
    for run in segue.runs(limit=MOST_RUNS):
        yield short_id(run.id), " ".join(filter(None, [run.workflow, run.key, run.status.value]))


def _steps(segue: Segue, ctx: click.Context) -> Candidates:
    """The steps of the run that was named. Behind an option that lacks its value, click has not read it yet."""
    named = ctx.params.get("run_id") or next(iter(ctx.params.get("run_ids") or ctx.args), None)
    if not named:
        return
    for step in segue.get(named).steps(limit=MOST_STEPS):
        if not step.is_join:
            yield step.name, step.status.value


def _workflows(segue: Segue) -> Candidates:
    for each in segue.definitions():
        if each.kind == "workflow":
            yield each.name, each.title or "workflow"


def _work(segue: Segue) -> Candidates:
    """Workflows by their full names, and by the last part where it is the only one."""
    names = [name for name, _ in _workflows(segue)]
    last = [name.rpartition(".")[2] for name in names]
    for name, short in zip(names, last, strict=True):
        if last.count(short) == 1:
            yield short, name
        yield name, "workflow"


def _schedules(segue: Segue) -> Candidates:
    for each in segue.schedules.list():
        yield each.name, each.workflow


def _queues(segue: Segue) -> Candidates:
    from segue.client.queues import known_queues  # noqa: PLC0415 - few completions ask for queues

    for queue in known_queues(segue):
        yield queue, "queue"


def _limits(segue: Segue) -> Candidates:
    for each in segue.limits.list():
        yield each.name, "limit"


complete_runs = _completer(_runs)
complete_steps = _completer_in(_steps)
complete_workflows = _completer(_workflows)
complete_work = _completer(_work)
complete_schedules = _completer(_schedules)
complete_queues = _completer(_queues)
complete_limits = _completer(_limits)


@add_completion_class
class Bash(BashComplete):
    """Completion for bash that also says what the candidates are, while there are several."""

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' value said
    local -a values=() lines=()
    COMPREPLY=()
    while IFS=$'\\t' read -r value said; do
        values+=("$value")
        lines+=("$value${said:+  ($said)}")
    done < <(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1" 2>/dev/null)
    if (( ${#values[@]} == 1 )); then COMPREPLY=("${values[0]}"); else COMPREPLY=("${lines[@]}"); fi
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def format_completion(self, item: CompletionItem) -> str:
        """A line: the value, a tab, and what it is."""
        said = " ".join((item.help or "").split())
        return f"{item.value}\t{said}"
