"""`segue start`: starts a run, and optionally waits for it or executes it in this process."""

from __future__ import annotations

import contextlib
import sys
from datetime import datetime
from inspect import signature
from typing import Any, get_args

import click
import msgspec
from rich.text import Text

from segue.authoring import Task, Workflow, decode_result, encode
from segue.authoring.values import annotations_of
from segue.cli.application import find_work
from segue.cli.bulk import this_person
from segue.cli.completing import complete_work
from segue.cli.durations import Duration, duration_option
from segue.cli.options import Setup, json_option, pass_setup, with_setup
from segue.cli.printing import console, print_json, say_json
from segue.cli.wording import status_text
from segue.client import Debounce, Run, Segue
from segue.client.argument_masking import ArgumentMasker
from segue.client.debounce import Keep
from segue.client.without_secrets import shown_run
from segue.errors import ConfigError, SerializationError
from segue.model import RunStatus
from segue.plan.frames import unframed
from segue.times import duration
from segue.worker.inline import work_run


@click.command(short_help="Start a run of a workflow.")
@with_setup
@click.argument("workflow", shell_complete=complete_work)
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT]...")
@click.option("--arg", "named", multiple=True, metavar="KEY=VALUE", help="A keyword argument (repeatable).")
@click.option("--key", help="A second start of this workflow with the same key starts nothing and shows the first run.")
@click.option("--reuse-key", is_flag=True, help="The same, but only until that run has ended.")
@click.option("--run-at", metavar="TIME", help="Begin then: 2026-11-20T06:00+01:00, or ...Z for UTC.")
@click.option("--wait", is_flag=True, help="Wait for its end and print the result; exit code 1 if it did not succeed.")
@duration_option("--timeout", help="How long --wait waits; the run continues.", otherwise="forever")
@duration_option(
    "--deadline", kind=Duration(above=True), help="The run fails if it has not ended this long after its start."
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A word to find the run by (repeatable).")
@click.option(
    "--meta", "metadata", multiple=True, metavar="KEY=VALUE", help="Stored with the run, to find it by (repeatable)."
)
@click.option("--run", "work_here", is_flag=True, help="Execute it now in this process, and print the result.")
@click.option("--debounce", metavar="KEY", help="Combine it with other starts of this workflow under this key.")
@duration_option("--window", kind=Duration(above=True), help="How long --debounce waits for more starts.")
@click.option(
    "--keep", type=click.Choice([keep.value for keep in Keep]), help="Whose arguments to use. [default: last]"
)
@json_option
@pass_setup
def command(
    setup: Setup, workflow: str, arguments: tuple[str, ...], named: tuple[str, ...], key: str | None, wait: bool,
    timeout: float | None, work_here: bool, debounce: str | None, window: float | None, keep: str | None,
    tags: tuple[str, ...], metadata: tuple[str, ...], deadline: float | None, as_json: bool, run_at: str | None,
    reuse_key: bool,
) -> None:  # fmt: skip
    """Start a run of a workflow. It is durable when this returns; a worker runs its steps.

    WORKFLOW is the full name ("shop.tasks.nightly"), the short name if only one workflow has it, or package.module.name
    of a task, signature, chain or group. Each ARGUMENT is converted to the type of its parameter's annotation. Without
    an annotation it is JSON; a text that is not valid JSON is a string: 3 is a number, 2026-11-20 a string, and '"3"'
    the string 3.

    With --json: the run as an object, as `segue runs` prints it, and `is_new`, false if it existed already.

    \b
    Example:
      segue start -A shop.tasks nightly 2026-11-20 --key 2026-11-20
      segue start -A shop.tasks nightly --arg day=2026-11-20 --arg 'shops=["a", "b"]' --wait
      segue start -A shop.tasks nightly 2026-11-20 --run
    """
    if work_here and timeout is not None:
        raise click.UsageError("--timeout needs --wait; a run that is executed here cannot have a timeout.")
    how = _debounce(debounce, window, keep, waits=wait or work_here)
    setup.import_apps()
    work = find_work(workflow)
    with setup.segue() as segue:
        with segue.acting_as(this_person()):
            run = segue.start(
                work, *positional(work, arguments, of_list=keep == Keep.ALL), key=key, debounce=how, tags=tags,
                metadata=metadata_of(metadata), deadline=deadline, run_at=time_of("--run-at", run_at),
                reuse_key=reuse_key, **by_name(work, named),
            )  # fmt: skip
        if not as_json:
            tell_started(setup, run, key or debounce)
        if work_here:
            _work(segue, run, setup, is_quiet=as_json)
        elif wait:
            _wait(run, setup, timeout)
        _finish(segue, run, is_over=work_here or wait, as_json=as_json)


def metadata_of(pairs: tuple[str, ...]) -> dict[str, Any]:
    """KEY=VALUE as metadata: a value that is not valid JSON is text."""
    told = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--meta takes KEY=VALUE, as in --meta customer=42; it was given {pair!r}.")
        told[name] = value_of(text)
    return told


def time_of(option: str, text: str | None) -> datetime | None:
    """A time as people type it, with a time zone. Raises ConfigError."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigError(f"{option} takes a time with a time zone, such as 2026-11-20T06:00Z; it was given {text!r}.")
    return moment


def _debounce(key: str | None, window: float | None, keep: str | None, *, waits: bool) -> Debounce | None:
    if key is None:
        if window is not None or keep is not None:
            raise click.UsageError("--window and --keep belong to --debounce KEY, which is missing.")
        return None
    if window is None:
        raise click.UsageError("--debounce needs --window DURATION: how long it waits for more starts.")
    if waits:
        raise click.UsageError(
            "--debounce starts the run later, in the process that does the chores: leave out --wait and --run."
        )
    return Debounce(key=key, window=window, keep=keep or Keep.LAST)


def value_of(text: str, annotation: Any = Any) -> Any:
    """A word of the command line, converted by the annotation: JSON if it is valid JSON, otherwise the text itself."""
    try:
        return decode_result(annotation, unframed(text))
    except SerializationError as as_json:
        try:
            return decode_result(annotation, encode(text))
        except SerializationError as as_text:
            why = as_json if _is_json(text) else as_text
            raise ConfigError(f"The argument {text!r} {str(why).removeprefix('the result ')}.") from why


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def positional(work: Any, words: tuple[str, ...], *, of_list: bool = False) -> list[Any]:
    """Words of the command line as positional arguments of a workflow or task; with `of_list` as items of lists."""
    kinds = list(_annotations(work).values())
    if of_list:
        kinds = [(*get_args(kind), Any)[0] for kind in kinds]
    return [value_of(word, kinds[place] if place < len(kinds) else Any) for place, word in enumerate(words)]


def by_name(work: Any, pairs: tuple[str, ...]) -> dict[str, Any]:
    """Words like `day=2026-11-20` as keyword arguments of a workflow or task."""
    kinds, named = _annotations(work), {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"--arg takes NAME=VALUE, as in --arg day=2026-11-20; it was given {pair!r}.")
        named[name] = value_of(text, kinds.get(name, Any))
    return named


def _annotations(work: Any) -> dict[str, Any]:
    """The annotation of each parameter of a task or workflow, in order; empty for chains and groups."""
    if not isinstance(work, Task | Workflow):
        return {}
    hints = annotations_of(work.fn)
    return {name: hints.get(name, Any) for name in signature(work.fn).parameters}


def tell_started(setup: Setup, run: Run, key: str | None = None) -> None:
    """Print which run a start or fork returned, and on a terminal the command that shows it."""
    out = console()
    was_there = f" was there already under key {key}" if run.is_new is False else ""
    out.print(Text.assemble(("run ", "bright_black"), (run.id, "bold"), (was_there, "cyan")), soft_wrap=True)
    if out.is_terminal:
        out.print(Text(f"  {setup.follow_up(f'segue show {run.id} --follow')}", "bright_black"), soft_wrap=True)


def _wait(run: Run, setup: Setup, timeout: float | None) -> None:
    try:
        run.wait(timeout)
    except KeyboardInterrupt:
        _tell_interrupted(setup, run, "It continues without this command.")


def _work(segue: Segue, run: Run, setup: Setup, *, is_quiet: bool) -> None:
    try:
        # the output of the tasks would mix with the JSON
        with contextlib.redirect_stdout(sys.stderr) if is_quiet else contextlib.nullcontext():
            work_run(segue.engine, run.id)
            run.wait()
    except KeyboardInterrupt:
        _tell_interrupted(setup, run, "Any worker can continue it.")


def _tell_interrupted(setup: Setup, run: Run, what: str) -> None:
    console(to_stderr=True).print(
        Text(
            f"Interrupted. Run {run.id} is {run.status}. {what} To end it: {setup.follow_up(f'segue cancel {run.id}')}"
        ),
        soft_wrap=True,
    )
    sys.exit(130)


def _finish(segue: Segue, run: Run, *, is_over: bool, as_json: bool) -> None:
    masker = ArgumentMasker(segue)
    info = masker.run(run.info())
    has_result = is_over and info.status is RunStatus.SUCCEEDED
    result = encode(run.result()) if has_result else ""
    if as_json:
        print_json(
            shown_run(masker, info)
            | {"is_new": run.is_new}
            | ({"result": msgspec.Raw(result.encode())} if has_result else {})
        )
    elif is_over:
        out = console()
        seconds = (info.finished_at - info.created_at).total_seconds() if info.finished_at else 0.0
        out.print(Text.assemble(status_text(info.status), f" in {duration(seconds)}"))
        if info.error is not None:
            out.print(
                Text(f"{info.error.step} failed with {info.error.type}: {info.error.message}", "red"), soft_wrap=True
            )
        if has_result:
            say_json(result)
    if is_over and info.status is not RunStatus.SUCCEEDED:
        sys.exit(1)
