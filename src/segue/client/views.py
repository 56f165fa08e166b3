"""What can be read from a database, as values. The command line and web pages use the engine's views through this
module.

`Segue` and `Run` return these. They are frozen; times are aware UTC.
"""

from segue.client.executors import OutputInfo
from segue.client.listed import ListedRun
from segue.client.progress import RunProgress
from segue.engine.limiting.limits import LimitInfo, ShareInfo
from segue.engine.platforms import ExecutorInfo
from segue.engine.rows import policy_or_none
from segue.engine.sending import Sent
from segue.engine.stored import arguments_of, object_of
from segue.engine.subscriptions import SubscriptionInfo
from segue.engine.views.checkpoints import CheckpointInfo, count_checkpoints
from segue.engine.views.definitions import DefinitionInfo
from segue.engine.views.look import AttemptInfo, ProgressInfo, RunInfo, StepInfo, WorkerInfo, run_info
from segue.engine.views.reason import Reason
from segue.engine.views.waiting import ALERTS, EventInfo, WaitInfo
from segue.scheduler.leader import LeaderInfo, leader_info
from segue.scheduler.looking import ScheduleInfo, TickInfo

__all__ = [
    "ALERTS",
    "AttemptInfo",
    "CheckpointInfo",
    "DefinitionInfo",
    "EventInfo",
    "ExecutorInfo",
    "LeaderInfo",
    "LimitInfo",
    "ListedRun",
    "OutputInfo",
    "ProgressInfo",
    "Reason",
    "RunInfo",
    "RunProgress",
    "ScheduleInfo",
    "Sent",
    "ShareInfo",
    "StepInfo",
    "SubscriptionInfo",
    "TickInfo",
    "WaitInfo",
    "WorkerInfo",
    "arguments_of",
    "count_checkpoints",
    "leader_info",
    "object_of",
    "policy_or_none",
    "run_info",
]
