"""What can be read from a database, as values. The command line and web pages use the engine's views through this
module.

`Segue` and `Run` return these. They are frozen; times are aware UTC.
"""

from segue.client.listed import ListedRun
from segue.client.output import OutputInfo
from segue.client.pages import RunPage
from segue.client.preview import Preview
from segue.client.progress import RunProgress
from segue.engine.access import AuditInfo, SessionInfo, TokenInfo
from segue.engine.limiting.limits import LimitInfo, ShareInfo
from segue.engine.platforms import ExecutorInfo
from segue.engine.rows import policy_or_none
from segue.engine.sending import Sent
from segue.engine.stored import arguments_of, object_of
from segue.engine.subscriptions import SubscriptionInfo
from segue.engine.views.checkpoints import CheckpointInfo, count_checkpoints
from segue.engine.views.definitions import DefinitionInfo
from segue.engine.views.failures import ErrorGroup, ErrorGroups, ErrorKind, FailedAttempt
from segue.engine.views.groups import StepGroup, StepGroups
from segue.engine.views.held import HeldStep, LimitHolders, LimitKeyInfo
from segue.engine.views.look import (
    ENDED,
    AttemptInfo,
    ProgressInfo,
    RunInfo,
    StepInfo,
    WorkerInfo,
    count_steps_of,
    run_info,
    run_infos,
)
from segue.engine.views.queues import QueueInfo, WorkflowInfo
from segue.engine.views.reason import Reason
from segue.engine.views.select import MOST_LOOKED_AT
from segue.engine.views.statistics import Series, Statistics
from segue.engine.views.waiting import ALERTS, EventInfo, MessageInfo, WaitInfo
from segue.scheduler.leader import LeaderInfo, leader_info
from segue.scheduler.looking import ScheduleInfo, TickInfo

__all__ = [
    "ALERTS",
    "ENDED",
    "MOST_LOOKED_AT",
    "AttemptInfo",
    "AuditInfo",
    "CheckpointInfo",
    "DefinitionInfo",
    "ErrorGroup",
    "ErrorGroups",
    "ErrorKind",
    "EventInfo",
    "ExecutorInfo",
    "FailedAttempt",
    "HeldStep",
    "LeaderInfo",
    "LimitHolders",
    "LimitInfo",
    "LimitKeyInfo",
    "ListedRun",
    "MessageInfo",
    "OutputInfo",
    "Preview",
    "ProgressInfo",
    "QueueInfo",
    "Reason",
    "RunInfo",
    "RunPage",
    "RunProgress",
    "ScheduleInfo",
    "Sent",
    "Series",
    "SessionInfo",
    "ShareInfo",
    "Statistics",
    "StepGroup",
    "StepGroups",
    "StepInfo",
    "SubscriptionInfo",
    "TickInfo",
    "TokenInfo",
    "WaitInfo",
    "WorkerInfo",
    "WorkflowInfo",
    "arguments_of",
    "count_checkpoints",
    "count_steps_of",
    "leader_info",
    "object_of",
    "policy_or_none",
    "run_info",
    "run_infos",
]
