"""What stands in a step's request for what follows it: `self.request.chain`, `.callbacks`, `.errbacks` and `.chord`.

A message of Celery carries these, and tasks read and change them: `self.request.chain = None` ends a chain. The
message of a step has only how many there are. So the request gets stand-ins. They look like signatures, with what the
database has of their steps, which is read when the task looks at them. When the task has succeeded, Celery dispatches
what is in the request by then; a stand-in only notes that it was kept. What was not kept is left out
(engine/detour.py), and what the task put in front of the rest of its chain becomes a plan that the step waits for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from celery.canvas import group
from kombu.exceptions import EncodeError

from segue.engine.backoff import longer_wait
from segue.errors import PASSING_ERRORS
from segue.executors.celery.calls import MEMBER
from segue.executors.celery.capture import captured
from segue.executors.celery.codec import loads
from segue.executors.celery.plans import plan_of_capture
from segue.executors.celery.publish import StepHeader
from segue.executors.celery.reports import out_of_reach
from segue.executors.celery.spec import BODY, KIN, OURS, options_of, task_id_of
from segue.model import WAIT_FOR, Detour
from segue.observing.harmless_log import get_logger
from segue.plan.codec import decode_holes
from segue.plan.graph import Plan

if TYPE_CHECKING:
    from segue.executors.celery.door import Door

logger = get_logger("segue.celery")

T = TypeVar("T")

_PATIENCE_SECONDS = 60.0


class StandIn(group):
    """Stands for one signature in a request. It is a group for Celery, which applies each group by itself."""

    _loaded = False
    _before: dict[str, Any] | None = None

    def __init__(self, kind: str, number: int, relatives: Relatives) -> None:  # a long chain makes many: be quick
        self.segue_kind = kind
        self.segue_number = number
        self._relatives = relatives

    def _content(self) -> None:
        if not self._loaded:
            self._loaded = True
            dict.update(self, self._relatives.content_of(self))
            self._before = copied(dict(dict.items(self)))

    @property
    def is_changed(self) -> bool:
        """Whether the task wrote into it."""
        return self._before is not None and copied(dict(dict.items(self))) != self._before

    def __getitem__(self, key: str) -> Any:
        self._content()
        return dict.__getitem__(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dict."""
        self._content()
        return dict.get(self, key, default)

    def __contains__(self, key: object) -> bool:
        self._content()
        return dict.__contains__(self, key)

    def __iter__(self) -> Iterator[str]:
        self._content()
        return dict.__iter__(self)

    def __len__(self) -> int:
        self._content()
        return dict.__len__(self)

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def keys(self) -> Any:
        """As of a dict."""
        self._content()
        return dict.keys(self)

    def items(self) -> Any:
        """As of a dict."""
        self._content()
        return dict.items(self)

    def values(self) -> Any:
        """As of a dict."""
        self._content()
        return dict.values(self)

    def __repr__(self) -> str:
        return f"<{self.segue_kind} {self.segue_number} of a step: {self.get('task')}>"

    def __deepcopy__(self, memo: object) -> StandIn:
        return self

    def clone(self, *args: Any, **kwargs: Any) -> StandIn:
        """It stands for one step, however often it is copied."""
        return self

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Called when Celery dispatches what follows a success: the step that it stands for is to run."""
        self._relatives.keep(self, options.get("chain"))
        return None


class _Step(NamedTuple):
    """A step that follows, as it is stored."""

    task: str
    args: str
    holes: str | None
    spec: str | None
    handle: str | None
    children: Any


class Relatives:
    """The stand-ins of one attempt, and what the task made of them."""

    def __init__(self, door: Door, header: StepHeader) -> None:
        self.door = door
        self._header = header
        in_chain, callbacks, errbacks, is_member = header.kin
        self._chain = [StandIn("chain", number, self) for number in range(in_chain)][::-1]
        self._callbacks = [StandIn("callback", number, self) for number in range(callbacks)]
        self._errbacks = [StandIn("errback", number, self) for number in range(errbacks)]
        self._chord = StandIn("chord", 0, self) if is_member else None
        if self._chord is not None:
            dict.__setitem__(self._chord, MEMBER, list(header.attempt))
        self.are_shown = False  # they are in the request of the task, in this process
        self._kept: set[StandIn] = set()
        self._kept_from: int | None = None  # the element of the chain that comes next
        self.inserted: Plan | None = None  # what comes before that
        self.of_replacement: Detour | None = None  # what is left out when the task is replaced

    def put_into(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The request of the task, with its stand-ins."""
        self.are_shown = True
        return {
            **request, "chain": list(self._chain) or None, "callbacks": list(self._callbacks) or None,
            "errbacks": list(self._errbacks) or None, "chord": self._chord,
        }  # fmt: skip

    # What the task made of them ----------------------------------------------------------------------------------

    def keep(self, which: StandIn, rest: Sequence[Any] | None) -> None:
        """Note that a step is to run, and for one of the chain, that these are to follow. Raises EncodeError."""
        _refuse_changes([which])
        if which.segue_kind == "chain":
            self._keep_from([*(rest or ()), which])
        else:
            self._kept.add(which)

    def insert(self, name: str, chain: Sequence[Any], apply: Callable[[list[Any]], Any]) -> Any:
        """What the task put in front of the rest of its chain is to run, and then that rest. Raises EncodeError."""
        first = next((number for number, each in enumerate(chain) if not isinstance(each, StandIn)), len(chain))
        self._keep_from(chain[:first])
        capture, result = captured(self.door.app, lambda: apply(list(chain[first:])))
        self.inserted = plan_of_capture(self.door, name, capture, capture.value_at_end(), replaces=True)
        return result

    def _keep_from(self, rest: Sequence[Any]) -> None:
        expected = self._chain[: len(rest)]
        if not rest or len(rest) > len(self._chain) or list(rest) != expected:
            raise EncodeError(
                "self.request.chain was changed in a way that Segue cannot follow. A task may empty it, leave out the "
                "tasks that come next, and put others in front (append). Use self.replace for anything else."
            )
        _refuse_changes([each for each in rest if isinstance(each, StandIn)])
        self._kept_from = len(self._chain) - len(rest)
        if self._kept_from:
            self._passed_by(self._kept_from)  # raises what may be raised now

    def detour(self) -> Detour | None:
        """What is left out when the task has succeeded, and Celery has dispatched what was left in the request."""
        lost = [each for each in self._callbacks if each not in self._kept]
        is_cut = bool(self._chain) and self._kept_from is None
        if not lost and not is_cut and not self._kept_from:
            return None
        skip = self._steps("callbacks", lost)
        if is_cut:
            skip += self._places(self._header.attempt[1]).get("chain", [])
        return Detour(tuple(skip), tuple(self._passed_by(self._kept_from or 0)))

    def replace(self, request: Any) -> dict[str, list[Any]]:
        """What the replacement of the task takes over from its request: what is there of the task's own.

        The steps stay behind the task, but for those that it left out. Raises EncodeError.
        """
        chain = list(request.chain or ())
        first = next((number for number, each in enumerate(chain) if not isinstance(each, StandIn)), len(chain))
        if first:
            self._keep_from(chain[:first])
        kept = [each for each in (*(request.callbacks or ()), *(request.errbacks or ())) if isinstance(each, StandIn)]
        self._kept.update(kept)
        lost = self._steps("errbacks", [each for each in self._errbacks if each not in self._kept])
        detour = self.detour() or Detour()
        if lost or detour != Detour():
            self.of_replacement = Detour((*detour.skip, *lost), detour.pass_by)
        return {
            "chain": chain[first:], "callbacks": _foreign(request.callbacks), "errbacks": _foreign(request.errbacks),
        }  # fmt: skip

    def detour_of_failure(self, errbacks: Sequence[Any] | None) -> tuple[Detour | None, list[Any]]:
        """What is left out when the task has failed, and the error callbacks that it added."""
        kept = {each for each in errbacks or () if isinstance(each, StandIn)}
        lost = [each for each in self._errbacks if each not in kept]
        if lost and self.door.is_in_worker:
            logger.error("%s", out_of_reach("What a task leaves out of self.request.errbacks"))
            lost = []  # they are called: the task has failed already
        detour = Detour(tuple(self._steps("errbacks", lost))) if lost else None
        return detour, _foreign(errbacks)

    def _steps(self, kind: str, which: Sequence[StandIn]) -> list[int]:
        if not which:
            return []
        found = self._places(self._header.attempt[1])[kind]
        return [step for each in which for step in found[each.segue_number]]

    def _passed_by(self, count: int) -> list[tuple[int, int]]:
        """The next steps of the chain, each with the one before it; raises EncodeError where they are not in a row."""
        above, left = self._header.attempt[1], len(self._chain)
        found: list[tuple[int, int]] = []
        for _ in range(count):
            places = self._places(above)
            left -= 1
            following = places["chain"]
            is_task = len(following) == 1 and self._step(following[0]).task != WAIT_FOR
            if not is_task or self._places(following[0])["counts"][0] != left:
                raise EncodeError(
                    "self.request.chain: a task can leave out the next tasks, but no group, no chord and no wait."
                )
            found.append((following[0], above))
            above = following[0]
        return found

    # What the database has of them -------------------------------------------------------------------------------

    def content_of(self, which: StandIn) -> dict[str, Any]:
        """What a stand-in shows."""
        own = self._header.attempt[1]
        match which.segue_kind:
            case "chain":
                steps = [own]
                for _ in range(which.segue_number + 1):
                    steps = self._places(steps[0]).get("chain", []) if len(steps) == 1 else []
            case "callback":
                steps = self._places(own)["callbacks"][which.segue_number]
            case "errback":
                steps = self._places(own)["errbacks"][which.segue_number]
            case _:
                steps = [step for step in self._children(own) if options_of(self._step(step).spec).get(BODY)][:1]
        shown = [self._signature(step) for step in steps]
        if len(shown) == 1:
            return shown[0]
        return {
            "task": "celery.group", "args": (), "kwargs": {"tasks": shown}, "options": {}, "subtask_type": "group",
            "immutable": False,
        }  # fmt: skip

    def _signature(self, step: int) -> dict[str, Any]:
        found = self._step(step)
        positional, named = loads(found.args, self.door.values.fetch)
        open_places = {hole.where[:2] for hole in decode_holes(found.holes)}
        options = {name: value for name, value in options_of(found.spec).items() if name not in OURS}
        task_id = task_id_of(found.handle, self._header.attempt[0], step)
        return {
            "task": found.task if found.task == WAIT_FOR else found.task.partition(":")[2],
            "args": tuple(value for index, value in enumerate(positional) if (0, index) not in open_places),
            "kwargs": {name: value for name, value in named.items() if (1, name) not in open_places},
            "options": {**options, "task_id": task_id}, "subtask_type": None, "immutable": not open_places,
        }  # fmt: skip

    def _places(self, step: int) -> dict[str, Any]:
        """Where what follows a step is, as numbers of steps."""
        kin = options_of(self._step(step).spec).get(KIN, {"counts": [0, 0, 0, 0]})
        found = dict(kin)
        found["chain"] = [step + place for place in kin.get("chain", ())]
        for kind in ("callbacks", "errbacks"):
            found[kind] = [[step + place for place in places] for places in kin.get(kind, ())]
        return found

    def _children(self, step: int) -> list[int]:
        return [child for child in self._step(step).children if child >= 0]

    def _step(self, step: int) -> _Step:
        return patiently(lambda: self._read(step))

    def _read(self, step: int) -> _Step:
        if self.door.is_in_worker:
            raise out_of_reach("What a task reads or changes of its canvas in self.request")
        with self.door.engine.reading() as tx:
            [(task, args, holes, spec, handle, children)] = tx.all(
                "step_of_executor", run_id=self._header.attempt[0], step=step
            )
            return _Step(task, args, holes, spec, handle, tx.integers(children))


def patiently(read: Callable[[], T]) -> T:
    """Read from the database, again while it is away, for a minute."""
    end, wait = time.monotonic() + _PATIENCE_SECONDS, 0.0
    while True:
        try:
            return read()
        except PASSING_ERRORS:
            if time.monotonic() >= end:
                raise
            wait = longer_wait(wait, first_seconds=0.1, longest_seconds=5.0)
            time.sleep(wait)


def stands_in(chain: Any) -> bool:
    """Whether the rest of a chain has stand-ins: a task put something in front of it."""
    return isinstance(chain, (list, tuple)) and any(isinstance(each, StandIn) for each in chain)


def copied(value: dict[str, Any]) -> Any:
    """A copy of what a stand-in shows, which does not change when that is changed."""
    return deepcopy({name: each for name, each in value.items() if name != MEMBER})


def _foreign(found: Sequence[Any] | None) -> list[Any]:
    return [each for each in found or () if not isinstance(each, StandIn)]


def _refuse_changes(which: Sequence[StandIn]) -> None:
    for each in which:
        if each.is_changed:
            raise EncodeError(
                f"The task changed the signature of {each.get('task')} in its request, which has its step already. "
                "Leave it out, and put another signature in its place."
            )
