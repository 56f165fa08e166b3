"""What AWS Batch and ECS have in common: how they are called, followed, and read when a container has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Any, TypeVar

import msgspec

from segue.dispatcher.protocol import BlindError, BusyError, Collected, Pace, Phase, Push, Sighting
from segue.dispatcher.registry import register
from segue.errors import DefinitionError, SegueError
from segue.executors.aws import errors
from segue.executors.aws.clients import Clients, ahead_of_us
from segue.executors.aws.following import JOBS_A_CALL, Following
from segue.executors.aws.leftovers import Log, remove_results, result_of, tail_of
from segue.executors.aws.meaning import IN_VAIN, is_misconfigured
from segue.executors.aws.requests import Settings
from segue.executors.aws.throttle import Throttle
from segue.given import shown
from segue.observing.harmless_log import get_logger

logger = get_logger("segue.executors.aws")

PACE = Pace(
    look_seconds=5.0,
    at_once=100,
    submits_at_once=200,
    settle_seconds=60.0,
    gone_seconds=60.0,
    cancel_seconds=60.0,
    side_by_side=4,
)
TURN_SECONDS = 5.0  # a submission waits so long for its turn
QUESTION_SECONDS = 30.0
NONE: frozenset[str] = frozenset()
T = TypeVar("T")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How often Amazon is called, and for how long a job may wait."""

    submits_per_second: float = 20.0
    reads_per_second: float = 10.0
    log_reads_per_second: float = 5.0
    log_seconds: float = 3.0  # the end of a log may come so long after the end of its container
    waiting_seconds: float | None = None  # one that has not begun by then is ended, and fails
    misconfigured_seconds: float | None = 600.0  # the same, if Amazon says that it will not begin as things are


class Platform:
    """The base of Amazon's executors; see `AWSBatch` and `ECS`.

    A job is looked at as `Following` says. What Amazon said last of an ended one is kept until it is collected.
    """

    def __init__(
        self, name: str, settings: Settings, *, region: str | None, profile: str | None, endpoint_url: str | None,
        pace: Pace | None, limits: Limits,
    ) -> None:  # fmt: skip
        self.name = name
        self.pace = pace or PACE
        self.settings = settings
        self._limits = limits
        self._check(settings, limits)
        self._clients = Clients(region=region, profile=profile, endpoint_url=endpoint_url)
        self._submits = Throttle(limits.submits_per_second)
        self._reads = Throttle(limits.reads_per_second)
        self._log_reads = Throttle(limits.log_reads_per_second)
        self._following = Following(look_seconds=self.pace.look_seconds, log_seconds=limits.log_seconds)
        self._ahead = 0.0  # seconds by which Amazon's clock is ahead of this machine's
        self._logs: dict[str, Log] = {}  # of ended jobs that are not collected yet
        register(self)  # type: ignore[arg-type]  # what is missing here, AWSBatch and ECS have

    def _check(self, settings: Settings, limits: Limits) -> None:
        label = f"{type(self).__name__}({shown(self.name)})"
        if settings.image is not None and settings.definition is not None:
            raise DefinitionError(f"{label}: give image= or definition=, not both: a definition has an image")
        if settings.results is not None and not settings.results.startswith("s3://"):
            raise DefinitionError(
                f"{label}: results={shown(settings.results)} is not a place; write 's3://bucket/prefix/'"
            )
        if settings.platform not in ("FARGATE", "EC2"):
            raise DefinitionError(
                f"{label}: platform={shown(settings.platform)} is not known; write 'FARGATE' or 'EC2'"
            )
        if min(limits.submits_per_second, limits.reads_per_second, limits.log_reads_per_second) <= 0:
            raise DefinitionError(f"{label}: so many calls a second must be more than 0, for example 20")

    # Calls ------------------------------------------------------------------------------------------------------------

    def _submit_by(self, what: str, method: Callable[[], Any], **arguments: Any) -> Any:
        """The call that makes a job. Raises RefusedError, BusyError or UnsureError."""
        return self._make_by(what, method, errors.of_submission, arguments)

    def _prepare_by(self, what: str, method: Callable[[], Any], **arguments: Any) -> Any:
        """A call before it, of which nothing is left that matters. Raises RefusedError or BusyError."""
        return self._make_by(what, method, errors.of_preparation, arguments)

    def _make_by(
        self, what: str, method: Callable[[], Any], meant: Callable[[Exception, str], SegueError],
        arguments: dict[str, Any],
    ) -> Any:  # fmt: skip
        if not self._submits.wait(TURN_SECONDS):
            raise BusyError(f"{what}: Amazon takes {self._submits.rate:.1f} calls a second at present", seconds=5.0)
        try:
            call = method()
        except Exception as error:
            raise errors.of_preparation(error, what) from error  # nothing was sent
        try:
            return call(**arguments)
        except Exception as error:
            if errors.is_throttled(error):
                self._submits.slow_down()
            raise meant(error, what) from error

    def _ask(
        self, what: str, method: Callable[[], Any], *, passes: Set[str] = NONE, throttle: Throttle | None = None,
        **arguments: Any,
    ) -> Any:  # fmt: skip
        """A question. Raises BlindError, except for Amazon's errors in `passes`, which are raised as they are."""
        pace = throttle or self._reads
        if not pace.wait(QUESTION_SECONDS):
            raise BlindError(f"{what}: Amazon takes {pace.rate:.1f} questions a second at present")
        try:
            answer = method()(**arguments)
            self._ahead = ahead_of_us(answer, self._ahead)
            return answer
        except Exception as error:
            if errors.is_throttled(error):
                pace.slow_down()
            if errors.code_of(error) in passes:
                raise
            raise errors.of_question(error, what) from error

    def _ask_log(self, what: str, method: Callable[[], Any], **arguments: Any) -> Any:
        return self._ask(what, method, throttle=self._log_reads, **arguments)

    # What has ended ---------------------------------------------------------------------------------------------------

    def collect(self, push: Push) -> Collected:
        """The end of the log, and what a command wrote as its result. See `PolledExecutor`."""
        output = self.read_output(push)
        results = self.settings.results
        result = None if results is None else result_of(push, results, self._clients, self._ask)
        return Collected(None, output, result)

    def read_output(self, push: Push) -> str:
        """The end of the log so far."""
        log = self._logs.pop(push.id, None) or self._find_log(push)
        return "" if log is None else tail_of(log, self._clients, self._ask_log)

    def _find_log(self, push: Push) -> Log | None:
        raise NotImplementedError

    def clean(self, pushes: Sequence[Push]) -> None:
        """Delete the results of commands; jobs and logs are Amazon's to forget."""
        self._following.forget_old()
        if self.settings.results is not None:
            try:
                remove_results(pushes, self.settings.results, self._clients, self._ask)
            except BlindError as error:
                logger.warning("results of %s stay in their bucket: %s", self.name, error)

    # Following --------------------------------------------------------------------------------------------------------

    def _told(self, push: Push, sighting: Sighting, log: Log | None) -> Iterator[Sighting]:
        """The sighting, unless it comes later: the end of a log may arrive after the end of its container."""
        if sighting.phase is not Phase.ENDED:
            self._following.looked(push.id)
            yield sighting
        elif self._following.is_to_be_told(push.id):
            if log is not None:
                self._logs[push.id] = log
            yield sighting

    def _waits_in_vain(self, push: Push, sighting: Sighting, created_at: float) -> str | None:
        """Why one that has not begun is to be ended: it waits for what will not come. `created_at`: Unix time."""
        is_waiting = sighting.phase is Phase.QUEUED
        limits = self._limits
        stuck = self._following.stuck_seconds(push.id, is_stuck=is_waiting and is_misconfigured(sighting.reason))
        waited = self._now() - created_at
        if is_waiting and limits.misconfigured_seconds is not None and 0 < stuck >= limits.misconfigured_seconds:
            return f"{IN_VAIN}, {stuck:.0f} s: {sighting.reason}"
        if is_waiting and limits.waiting_seconds is not None and waited >= limits.waiting_seconds:
            return f"{IN_VAIN}, {waited:.0f} s: {sighting.reason}"
        return None

    def _now(self) -> float:
        """Amazon's time as Unix time: the times of its jobs are never compared with the clock of this machine."""
        return time.time() + self._ahead

    def _not_there(self, push: Push) -> Sighting:
        return Sighting(push.id, Phase.GONE, "Amazon does not know it any more")


def limits_of(given: dict[str, Any]) -> Limits:
    """The limits of an executor. Raises DefinitionError for one that does not exist."""
    try:
        Limits(**given)
        return msgspec.convert(given, Limits)
    except (TypeError, msgspec.ValidationError) as error:
        known = ", ".join(Limits.__struct_fields__)
        raise DefinitionError(f"{error}; besides its other arguments, an executor has {known}") from None


def in_calls(items: Sequence[T], size: int = JOBS_A_CALL) -> Iterator[list[T]]:
    """The items in as many parts as calls are needed."""
    for first in range(0, len(items), size):
        yield list(items[first : first + size])
