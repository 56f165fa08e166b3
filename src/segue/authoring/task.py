"""`@task`: a function as a unit of work.

The decorator only describes. Outside of a workflow, calling a task calls the plain function. While a workflow is
traced, the call adds a step and returns the handle of its result. To type checkers a call has the function's own return
type in both cases, so that `total(count.map(paths))` is checked like plain Python; `.map(...)` has the type `Any`. The
methods of a handle (`after`, `when`) have a typed form: `task.options(after=..., when=...)(...)`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from copy import copy
from functools import update_wrapper
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Literal,
    ParamSpec,
    Self,
    TypeVar,
    Unpack,
    cast,
    overload,
)  # fmt: skip

import msgspec

from segue.authoring import pushed
from segue.authoring.compose import Element, Signature
from segue.authoring.definition import Definition
from segue.authoring.elsewhere import OF_TASKS, unknown_options
from segue.authoring.lending import CONNECTION, check_lendable, lend, place_of_connection, without_connection
from segue.authoring.limits import check_key, fairness, own_limits
from segue.authoring.mapping import map_over
from segue.authoring.naming import name_of
from segue.authoring.options import Placement, StepOptions, TaskOptions, check_errors, placed
from segue.authoring.outcome import Outcome
from segue.authoring.registry import Registry, check_function
from segue.authoring.schedule import Schedule, declared
from segue.authoring.titles import description_of, first_paragraph, humanised, title_of
from segue.authoring.trace import current_trace
from segue.authoring.values import Converters
from segue.errors import Abort, DefinitionError, PlanError, Retry, SerializationError
from segue.given import attribute, is_a, shown
from segue.model import Policy
from segue.plan.check import Parameters

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
A = TypeVar("A")

_NOTHING: Final = object()


class Task(Definition[P, R]):
    """A function that can be a step. Made by `@task`.

    Example::

        @task(retries=3, timeout=60)
        def fetch(url: str) -> str: ...

        fetch("https://example.org")          # outside of a workflow: runs it in this process
        fetch.s("https://example.org")        # a signature, for chain and group
        fetch.options(queue="net").map(urls)  # one step for each
    """

    _json_remedy = "in a workflow call it, as in task(...), and pass on what that gives; a task returns task.s(...)"
    _elsewhere = OF_TASKS

    def __init__(self, fn: Callable[P, R], name: str, placement: Placement, *, transactional: bool = False) -> None:
        update_wrapper(self, fn)
        self.fn = fn
        self.name = name
        self.short_name = name.rpartition(".")[2]
        self.placement = placement
        self.is_async = iscoroutinefunction(fn)
        self.retry_on: tuple[type[Exception], ...] | None = None  # None: any exception
        self.give_up_on: tuple[type[Exception], ...] = ()
        self.transactional = transactional
        self.schedule: Schedule | None = None
        self.title = humanised(name)
        self.description = first_paragraph(fn.__doc__)
        told = signature(fn)
        self._place_of_connection = place_of_connection(told) if transactional else None
        self.parameters = Parameters.of(without_connection(told) if transactional else told)
        self.converters = Converters(fn, filled=CONNECTION if transactional else None)

    def _call_with(self, connection: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call the function of a transactional task with a connection."""
        args, kwargs = lend(connection, self._place_of_connection, args, kwargs)
        return self.fn(*args, **kwargs)

    @property
    def policy(self) -> Policy:
        """The policy of this task's steps, unless a step changes it."""
        return self.placement.policy

    @property
    def returns_secret(self) -> bool:
        """Whether its result is annotated with `Secret`."""
        return self.converters.hides_result

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        trace = current_trace.get()
        if trace is None:
            return self.fn(*args, **kwargs)
        handle: Any = Signature(self, args, kwargs, self.placement, True)._lay_out(trace, None)
        result: R = handle
        return result

    @overload
    def s(self, /, *args: P.args, **kwargs: P.kwargs) -> Signature[R]: ...
    @overload
    def s(self: Task[Concatenate[Any, Q], R], /, *args: Q.args, **kwargs: Q.kwargs) -> Signature[R]: ...
    def s(self, /, *args: Any, **kwargs: Any) -> Any:
        """The task with arguments; in a chain it receives the previous result before them."""
        trace = current_trace.get()
        if trace is not None:
            trace.written = self.short_name
        return Signature(self, args, kwargs, self.placement, False)

    def si(self, /, *args: P.args, **kwargs: P.kwargs) -> Signature[R]:
        """The task with all its arguments; in a chain it waits for the previous element and ignores its result."""
        return Signature(self, args, kwargs, self.placement, True)

    @overload
    def map(
        self: Task[Concatenate[A, Q], R], xs: Iterable[A], /, *, batch: int | None = None,
        errors: Literal[False] = False, **fixed: Any,
    ) -> Fanned[R]: ...  # fmt: skip
    @overload
    def map(
        self: Task[Concatenate[A, Q], R], xs: Iterable[A], /, *, errors: Literal[True], **fixed: Any
    ) -> Fanned[Outcome[R]]: ...
    @overload
    def map(self, /, *, batch: int | None = None, errors: Literal[False] = False, **fixed: Any) -> Element[list[R]]: ...
    @overload
    def map(self, /, *, errors: Literal[True], **fixed: Any) -> Element[list[Outcome[R]]]: ...
    def map(
        self, xs: Any = _NOTHING, /, *more: Any, batch: int | None = None, errors: bool = False, **fixed: Any
    ) -> Any:  # fmt: skip
        """One step for each item of `xs`; the result is the list of their results, in order.

        `xs` may be a list, a future result (the steps are then added when it is known) or left out in a chain, where it
        is the previous result. `fixed` arguments go to every step. With `batch=n` a step takes up to n items, one after
        another; the result is the same flat list. Inside a workflow with a known list, the steps are part of its plan.

        If a step fails, the run fails, unless the task has `may_fail`: then the list has None in its place. With
        `errors=True` the run goes on as well, and the result is a list of `segue.Outcome`: the value or the error of
        each.

        Example::

            total(count.map(paths))
            chain(extract.s(day), count.map(batch=50), total.s())
        """
        self._check_batch(batch)
        return map_over(self, xs, more, given_later=xs is _NOTHING, fixed=fixed, batch=batch, errors=errors, star=False)

    @overload
    def starmap(
        self, xs: Iterable[Iterable[Any]], /, *, batch: int | None = None, errors: Literal[False] = False, **fixed: Any
    ) -> Fanned[R]: ...
    @overload
    def starmap(self, xs: Iterable[Iterable[Any]], /, *, errors: Literal[True], **fixed: Any) -> Fanned[Outcome[R]]: ...
    @overload
    def starmap(
        self, /, *, batch: int | None = None, errors: Literal[False] = False, **fixed: Any
    ) -> Element[list[R]]: ...
    @overload
    def starmap(self, /, *, errors: Literal[True], **fixed: Any) -> Element[list[Outcome[R]]]: ...
    def starmap(
        self, xs: Any = _NOTHING, /, *more: Any, batch: int | None = None, errors: bool = False, **fixed: Any
    ) -> Any:  # fmt: skip
        """Like `map`, where each item is a list of positional arguments."""
        self._check_batch(batch)
        return map_over(self, xs, more, given_later=xs is _NOTHING, fixed=fixed, batch=batch, errors=errors, star=True)

    def options(self, **changes: Unpack[StepOptions]) -> Self:
        """A copy whose steps have other options; the task itself does not change.

        Example::

            archive.options(queue="disk", after=[report], rule="all_done")(paths)
        """
        configured = copy(self)
        configured.placement = placed(self.placement, changes, of=self.short_name)
        return configured

    def _check_batch(self, batch: int | None) -> None:
        if batch is not None and self.transactional:
            raise DefinitionError(
                f"{self.short_name} is transactional, so each item needs a separate transaction, and "
                f"batch={shown(batch)} cannot be; leave batch out, or write a transactional task that takes the list "
                "of items"
            )

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


if TYPE_CHECKING:

    class AsyncTask(Task[P, R]):
        """An `async def` task: outside of a workflow a call gives a coroutine, inside the future result."""

        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
            """Add a step in a workflow; call the function elsewhere."""

    class Fanned(list[R], Element[list[R]]):
        """What `map` gives of a list: in a workflow the future list of results, elsewhere work to run."""


tasks: Registry[Task[..., Any]] = Registry("task")
"""The tasks of the imported code, by name."""


class _Decorator:
    """`@task(...)` with its options, waiting for the function."""

    def __init__(self, options: TaskOptions) -> None:
        self._options = options

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    def __call__(self, fn: Any, /) -> Any:
        return _define(fn, self._options)


class _TransactionalDecorator(_Decorator):
    """The same. In a workflow a task is called without its connection, so type checkers ignore its arguments."""

    def __call__(self, fn: Callable[..., R], /) -> Task[..., R]:  # type: ignore[override]
        return _define(fn, self._options)


@overload
def task(fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(*, transactional: Literal[True], **options: Any) -> _TransactionalDecorator: ...
@overload
def task(**options: Unpack[TaskOptions]) -> _Decorator: ...
def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a function, plain or `async def`, a task.

    After a failed try, `retries` more follow, number n after `retry_delay * retry_factor ** (n - 1)` seconds (at most
    `retry_max_delay`, less up to `retry_jitter` of it). `retry_on` limits retries to these exceptions, `give_up_on`
    excludes some. `timeout` ends one attempt. `may_fail`: its failure does not fail the run. Times are seconds or
    timedeltas. `schedule` starts it at given times, see `Schedule`. `transactional`: Segue fills the task's parameter
    `connection`, and commits the task's writes through it together with its outcome, exactly once. `concurrency`,
    `rate`, `limits`, `cost` and `fair_by` limit how many may run at the same time, and decide the order; see `Limit`.
    `title` and `description` are for people; by default they are made of the task's name and its docstring.

    Raises `DefinitionError` for invalid options and for functions that a worker could not import.

    Example::

        @task(retries=3, retry_on=(OSError, TimeoutError), timeout=60, queue="net")
        def fetch(url: str) -> str: ...
    """
    told = cast(TaskOptions, options)
    return _Decorator(told) if fn is None else _define(fn, told)


_NOT_OF_STEPS = (
    "name", "title", "description", "retry_on", "give_up_on", "transactional", "schedule", "timezone", "concurrency",
    "rate", "burst", "fair_by", "fair_weights",
)  # fmt: skip
_HOPELESS = (Abort, DefinitionError, PlanError, SerializationError)  # the next try would use the same code and values


def is_retryable(task: Task[..., Any], error: BaseException) -> bool:
    """Whether the task allows another attempt after one that ended with this error."""
    decided = attribute(error, "segue_retryable")
    if isinstance(decided, bool):
        return decided
    if is_a(error, Retry):
        return True
    if is_a(error, *_HOPELESS) or _is_among(error, task.give_up_on):
        return False
    return task.retry_on is None or _is_among(error, task.retry_on)


def _is_among(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    """Whether it is of one of these kinds. If a class's own check raises, the real base classes decide."""
    try:
        return isinstance(error, kinds)
    except BaseException:  # noqa: BLE001 - the user's `__class__` or `__instancecheck__`
        return is_a(error, *kinds)


def _define(fn: Callable[P, R], options: TaskOptions) -> Task[P, R]:
    if isinstance(fn, Task):
        raise DefinitionError(f"@task was put on {fn.name} twice; once is enough")
    function = check_function("task", fn, named="name" in options)
    if isgeneratorfunction(function) or isasyncgenfunction(function):
        raise DefinitionError(
            f"the task {function.__qualname__} yields, but a task returns its result once; return a list, "
            "or say how far it is with progress(...)"
        )
    label = f"@task {function.__qualname__}"
    known = TaskOptions.__annotations__.keys()
    unknown = options.keys() - known
    if unknown:
        raise unknown_options(label, unknown, known)
    step_options = {key: value for key, value in options.items() if key not in _NOT_OF_STEPS}
    placement = placed(Placement(), step_options, of=label)
    name = options.get("name", name_of(function))
    placed(placement, {"name": name}, of=label)
    transactional = _asks_for_connection(label, options.get("transactional", False), function)
    (pushed.transactional.add if transactional else pushed.transactional.discard)(name)
    defined = Task(fn, name, placement, transactional=transactional)
    defined.placement = _limited(label, defined, options)
    if "retry_on" in options:
        defined.retry_on = check_errors(label, "retry_on", options["retry_on"])
    if "give_up_on" in options:
        defined.give_up_on = check_errors(label, "give_up_on", options["give_up_on"])
    defined.schedule = declared(label, options.get("schedule"), options.get("timezone"))
    defined.title = title_of(label, options.get("title"), name)
    defined.description = description_of(label, options.get("description"), fn.__doc__)
    tasks.register(defined)
    return defined


def _limited(label: str, defined: Task[..., Any], options: TaskOptions) -> Placement:
    """The placement with the task's own limits, and the key of its fair share."""
    placement = defined.placement
    own, named = own_limits(
        label, defined.name, defined.parameters, concurrency=options.get("concurrency"), rate=options.get("rate"),
        burst=options.get("burst"), limits=placement.limits,
    )  # fmt: skip
    fair = fairness(label, options.get("fair_by"), options.get("fair_weights"))
    if fair is not None:
        check_key(label, fair.by, defined.parameters)
    return msgspec.structs.replace(placement, own_limit=own, limits=named, fair=fair)


def _asks_for_connection(label: str, transactional: object, function: Callable[..., Any]) -> bool:
    if not isinstance(transactional, bool):
        raise DefinitionError(
            f"{label}: transactional={shown(transactional)} is not a boolean; write transactional=True"
        )
    if transactional:
        check_lendable(label, function)
    return transactional
