"""Finds all problems of a plan together; each names its node and its remedy.

`check` raises; `find_problems` returns the list. Checking a plan of 10,000 steps of the same task takes about as long
as making it: what a task takes is computed once, and each shape of arguments is compared with it once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from inspect import Parameter, Signature
from typing import Any

import msgspec

from segue.errors import PlanError, Problem
from segue.model import RUN, WAIT_FOR, Concat, Expr, Gather, Mapping, Policy
from segue.plan.codec import depth_of, steps_in
from segue.plan.graph import NO_ARGUMENTS, Node, Plan, Sla
from segue.plan.indexed import MOST_NAME_BYTES, MOST_QUEUE_BYTES, name_problem, text_problem
from segue.plan.lanes import keys_of, lane_problem

MAX_NODES = 1_000_000
MAX_ARGUMENT_BYTES = 16 * 1024 * 1024
MAX_NAME_LENGTH = 500
MAX_PROBLEMS = 100
MAX_NESTING = 200
"""How deep lists and dicts of future results, and groups, may be nested: a process that lays them out, stores them and
reads them again has enough stack for this many levels.
"""
TAKEN_BY_START = ("key", "tags", "metadata", "deadline", "debounce", "connection", "run_at", "reuse_key")
"""Keywords of `Segue.start`, which are not passed on to the task or workflow."""

OPTION_WORDS = frozenset(Policy.__struct_fields__) | {
    "name", "queue", "priority", "delay", "rule", "when", "after", "limits", "cost", "executor", "resources", "push",
    "sla_start", "sla_end", "run_at",
}  # fmt: skip
"""Options of a step, which a caller may mistake for arguments."""

_arguments_decoder = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]])


class Parameters(msgspec.Struct, frozen=True):
    """What a task takes, as far as that can be checked before it runs.

    Example::

        Parameters.of(inspect.signature(resize)).mistake(1, {"width"})  # None, or what is wrong
    """

    positional: tuple[str, ...]  # in order; those that can be given by position
    positional_only: int  # how many of them cannot be given by name
    required: tuple[str, ...]
    named: frozenset[str]  # all that can be given by name
    takes_more: bool  # *args
    takes_any_name: bool  # **kwargs
    text: str  # "(path: str, *, width: int = 80)"
    defaults: dict[str, Any] = {}

    @classmethod
    def of(cls, signature: Signature) -> Parameters:
        """Take them from a function's signature."""
        parameters = list(signature.parameters.values())
        kinds = [parameter.kind for parameter in parameters]
        by_position = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        by_name = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        variable = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        return cls(
            positional=tuple(p.name for p in parameters if p.kind in by_position),
            positional_only=kinds.count(Parameter.POSITIONAL_ONLY),
            required=tuple(p.name for p in parameters if p.kind not in variable and p.default is Parameter.empty),
            named=frozenset(p.name for p in parameters if p.kind in by_name),
            takes_more=Parameter.VAR_POSITIONAL in kinds,
            takes_any_name=Parameter.VAR_KEYWORD in kinds,
            text=str(signature).replace("'", ""),  # annotations that are text are shown as written
            defaults={p.name: p.default for p in parameters if p.default is not Parameter.empty},
        )

    def mistake(self, count: int, names: Collection[str]) -> str | None:
        """The mistake in `count` positional and these named arguments; None if they fit."""
        if count > len(self.positional) and not self.takes_more:
            return f"it is given {count} positional arguments and takes {len(self.positional)}"
        by_position = set(self.positional[:count])
        twice = [name for name in names if name in by_position and name in self.named]
        if twice:
            return f"it is given {', '.join(twice)} twice, by position and by name"
        if not self.takes_any_name:
            unexpected = [name for name in names if name not in self.named]
            if unexpected:
                return f"it is given {', '.join(unexpected)}, which it does not take"
        missing = [name for name in self.required if name not in by_position and name not in names]
        if missing:
            return f"it is not given {', '.join(missing)}"
        return None

    def remedy(self, name: str, given: Collection[str]) -> str:
        """How to call it, under the last part of its name. A start keeps some names of parameters for itself."""
        call = f"call it as {name}{self.text}"
        options = [word for word in given if word in OPTION_WORDS and word not in self.named]
        if options and not self.takes_any_name:
            words = ", ".join(f"{word}=..." for word in options)
            call += f", and give options to the task: {name}.options({words})"
        kept = [word for word in self.required if word in TAKEN_BY_START and word not in given]
        if not kept:
            return call
        words = ", ".join(f"{word}=" for word in kept)
        return f"{call}, and start it as {name}.s({words}...), because start and run take {words} for themselves"


Knows = Callable[[str], Parameters | None]
"""What a task of this name takes; never raises, and returns None for a task that cannot be checked."""


def check(plan: Plan, *, parameters: Knows, is_known: Callable[[str], bool] | None = None) -> None:
    """Raise `PlanError` with all problems of the plan, if it has any.

    `parameters` tells what a task takes (None: not checked); `is_known`, if given, tells which task names are known.
    """
    problems = find_problems(plan, parameters, is_known)
    if problems:
        raise PlanError(plan.name, problems)


def find_problems(plan: Plan, parameters: Knows, is_known: Callable[[str], bool] | None = None) -> list[Problem]:
    """All problems of the plan, at most `MAX_PROBLEMS`, and a note how many more there are."""
    count = len(plan.nodes)
    if count > MAX_NODES:
        remedy = "Give each step more to do, with map(..., batch=n), or start several runs"
        return [Problem("(plan)", f"it has {count:,} steps and may have {MAX_NODES:,}", remedy)]
    found: list[Problem] = list(_plan_problems(plan))
    shapes: dict[tuple[str, int, tuple[str, ...]], str | None] = {}
    unknown: dict[str, bool] = {}
    names: set[str] = set()
    policies: set[int] = set()
    queues: set[str] = set()
    for number, node in enumerate(plan.nodes):
        if node.name in names:
            found.append(Problem(node.name, "another step has the same name", "Give one of them options(name=...)"))
        names.add(node.name)
        found.extend(_number_problems(node, number, plan.nodes))
        if not 0 <= node.priority <= 9 or node.delay is not None or node.run_at is not None:
            found.extend(_placement_problems(node))
        if node.queue not in queues:
            wrong = name_problem(node.queue, MOST_QUEUE_BYTES)
            if wrong is None:
                queues.add(node.queue)
            else:
                found.append(Problem(node.name, f"the name of its queue {wrong}", "Leave it out for 'default'"))
        if node.sla is not None:
            found.extend(_time_problems(node.name, (("sla_start", node.sla.start), ("sla_end", node.sla.end))))
        if id(node.policy) not in policies:
            policies.add(id(node.policy))
            found.extend(_policy_problems(node))
        if node.task is not None:
            if is_known is not None and not _remembered(unknown, node.task, is_known):
                remedy = "Import the module that defines it (-A package.module), or correct the name"
                found.append(Problem(node.name, f"no task is called {node.task!r}", remedy))
            found.extend(_argument_problems(node, parameters, shapes))
    if len(found) > MAX_PROBLEMS:
        rest = len(found) - MAX_PROBLEMS
        found[MAX_PROBLEMS:] = [Problem("(plan)", f"and {rest:,} more problems", "Correct these first")]
    return found


def _plan_problems(plan: Plan) -> Iterator[Problem]:
    wrong = name_problem(plan.name, MOST_NAME_BYTES)
    if wrong is None and len(plan.name) > MAX_NAME_LENGTH:
        wrong = f"has {len(plan.name):,} characters"
    if wrong is not None:
        yield Problem("(plan)", f"its name {wrong}", f"Use 1 to {MAX_NAME_LENGTH} characters")
    if plan.result is not None:
        yield from _depth_problems("(result)", [plan.result])
        for step in _out_of_range(plan.result, len(plan.nodes), allow_run=False):
            yield Problem("(result)", f"it refers to step {step}, which is not there", "Refer to a step of this plan")
    terms = plan.terms
    if terms is not None:
        sla = terms.sla or Sla()
        times = (("deadline", terms.deadline), ("sla_start", sla.start), ("sla_end", sla.end))
        yield from _time_problems("(plan)", times)


def _number_problems(node: Node, number: int, nodes: Sequence[Node]) -> Iterator[Problem]:
    """Check references and parents, which a plan made by hand may get wrong."""
    wrong = text_problem(node.name, 4 * MAX_NAME_LENGTH)
    if wrong is None and len(node.name) > MAX_NAME_LENGTH:
        wrong = f"has {len(node.name):,} characters"
    if wrong is not None:
        yield Problem(f"step {number}", f"its name {wrong}", f"Use 1 to {MAX_NAME_LENGTH} characters")
    for parent in node.parents:
        if not 0 <= parent < number:
            what = (
                "itself"
                if parent == number
                else f"step {parent}, which is {'later' if parent > number else 'not there'}"
            )
            yield Problem(node.name, f"it waits for {what}", "Let it wait for steps that come before it")
        elif (nodes[parent].hook is None) != (node.hook is None):
            what = "a hook waits for the outcome of all other steps, so neither may wait for the other by name"
            yield Problem(node.name, f"it and {nodes[parent].name} are a hook and a step: {what}", "Drop that parent")
    if len(set(node.parents)) != len(node.parents):
        yield Problem(node.name, "it waits for the same step twice", "Name each parent once")
    if node.task is None and (node.holes or node.args != NO_ARGUMENTS):
        yield Problem(node.name, "it is a join and has arguments", "Name a task, or omit the arguments")
    exprs = [hole.what for hole in node.holes]
    if node.when is not None:
        exprs.append(node.when)
    if node.result is not None:
        exprs.append(node.result)
    if node.uses or node.share is not None or node.cost != 1:
        exprs += keys_of(node)
        wrong = lane_problem(node)
        if wrong is not None:
            yield Problem(node.name, wrong, "See docs/limits.md for the rules of limits and fair shares")
    if exprs:
        yield from _depth_problems(node.name, exprs)
    for expr in exprs:
        for step in _out_of_range(expr, number, allow_run=node.hook is not None):
            what = (
                "the run's outcome and is not a hook" if step == RUN else f"step {step}, which does not come before it"
            )
            yield Problem(node.name, f"it needs the result of {what}", "Refer to a step that it waits for")
            break


def _depth_problems(where: str, exprs: list[Expr]) -> Iterator[Problem]:
    for expr in exprs:
        if isinstance(expr, (Gather, Mapping, Concat)) and (depth := depth_of(expr)) > MAX_NESTING:
            what = f"it needs results that are nested {depth} lists deep; the limit is {MAX_NESTING}"
            yield Problem(where, what, "Let a task combine them, or return a separate plan")


def _out_of_range(expr: Expr, below: int, *, allow_run: bool) -> Iterator[int]:
    lowest = RUN if allow_run else 0
    return (step for step in steps_in(expr) if not lowest <= step < below)


def _placement_problems(node: Node) -> Iterator[Problem]:
    if not 0 <= node.priority <= 9:
        yield Problem(node.name, f"its priority is {node.priority}", "Choose 0 to 9; 9 goes first")
    if node.delay is not None and not 0 <= node.delay < 1e10:
        yield Problem(node.name, f"its delay is {node.delay} seconds", "Give 0 or more")
    if node.run_at is not None and node.run_at.tzinfo is None:
        yield Problem(
            node.name, f"its run_at {node.run_at.isoformat()} has no time zone", "Add one, such as tzinfo=UTC"
        )
    elif node.run_at is not None and not _is_in_utc(node.run_at):
        yield Problem(
            node.name, f"its run_at {node.run_at.isoformat()} is out of range", "Give one before year 10000 UTC"
        )
    if node.task == WAIT_FOR and (node.delay is not None or node.run_at is not None):
        yield Problem(node.name, "it waits for a message and is delayed", "Put segue.sleep(...) before it")


def _is_in_utc(moment: datetime) -> bool:
    """Whether UTC has such a time: a later one could be written, but not read."""
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return False
    return True


def _time_problems(where: str, times: Iterable[tuple[str, float | None]]) -> Iterator[Problem]:
    for name, seconds in times:
        if seconds is not None and not 0 < seconds < 1e10:
            yield Problem(where, f"its {name} is {seconds} seconds", "Give more than 0, or omit it")


def _policy_problems(node: Node) -> list[Problem]:
    return [Problem(node.name, what, remedy) for what, remedy in _policy_mistakes(node.policy)]


@lru_cache(maxsize=256)  # most plans have the same few
def _policy_mistakes(policy: Policy) -> list[tuple[str, str]]:
    times = (("timeout", policy.timeout), ("schedule_to_start", policy.schedule_to_start))
    found = [(problem.what, problem.remedy) for problem in _time_problems("", times)]
    for key in ("retries", "lost_retries", "retry_delay", "retry_max_delay"):
        value = getattr(policy, key)
        if not 0 <= value < 1e10:
            found.append((f"its {key} is {value}", "Give 0 or more"))
    if not policy.retry_factor >= 1:
        found.append((f"its retry_factor is {policy.retry_factor}", "Give 1 or more"))
    if not 0 <= policy.retry_jitter <= 1:
        found.append((f"its retry_jitter is {policy.retry_jitter}", "Give 0 to 1"))
    return found


def size_of(text: str) -> int:
    """The bytes of a JSON text."""
    return len(text) if text.isascii() else len(text.encode())


def _argument_problems(
    node: Node, parameters: Knows, shapes: dict[tuple[str, int, tuple[str, ...]], str | None]
) -> Iterator[Problem]:
    size = size_of(node.args)
    if size > MAX_ARGUMENT_BYTES:
        what = f"its arguments are {size:,} bytes and may be {MAX_ARGUMENT_BYTES:,}"
        yield Problem(node.name, what, "Store the data, and pass its location")
    task = node.task
    if task is None:
        return
    takes = parameters(task)
    try:
        positional, named = _arguments_decoder.decode(node.args)
    except (msgspec.DecodeError, ValueError) as exc:
        yield Problem(node.name, f"its arguments are not JSON [[...], {{...}}]: {exc}", "Write them with Segue")
        return
    if takes is None:
        return
    key = (task, len(positional), tuple(named))
    mistake = shapes[key] if key in shapes else shapes.setdefault(key, takes.mistake(len(positional), named))
    if mistake is not None:
        yield Problem(node.name, mistake, _remedy(task, takes, len(positional), named, node))


def _remedy(task: str, takes: Parameters, count: int, named: Collection[str], node: Node) -> str:
    call = takes.remedy(task.rpartition(".")[2], [*takes.positional[:count], *named])
    call = call[0].upper() + call[1:]
    fed = any(hole.where == (0, 0) for hole in node.holes)
    if fed and count == len(takes.positional) + 1:
        return f"{call}, or use .si(...) if it should not receive the previous result"
    return call


def _remembered(answers: dict[str, bool], task: str, is_known: Callable[[str], bool]) -> bool:
    if task not in answers:
        answers[task] = is_known(task)
    return answers[task]
