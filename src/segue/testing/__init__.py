"""For tests: workflows whose time is moved by hand; and, for authors of executors, scripts and the contract.

    workbench           `Workbench`: a database whose clock the test moves, and what works on its runs
    scripted            `ScriptedExecutor`: messages in a list, and events that happen to them as a script says
    scripted_platform   `ScriptedPlatform`: the same for an executor that is polled, with jobs in a list
    executor_contract   every event in every situation of a step, and what must come of it

No test library is needed; docs/testing-executors.md shows both with pytest.
"""

from segue.testing.executor_contract import CASES, CallbackDriver, ContractBrokenError, Situation, check, check_storm
from segue.testing.scripted import Event, Message, ScriptedExecutor
from segue.testing.scripted_platform import Answer, FarJob, ScriptedPlatform
from segue.testing.workbench import Workbench, WorkbenchError

__all__ = [
    "CASES", "Answer", "CallbackDriver", "ContractBrokenError", "Event", "FarJob", "Message", "ScriptedExecutor",
    "ScriptedPlatform", "Situation", "Workbench", "WorkbenchError", "check", "check_storm",
]  # fmt: skip
