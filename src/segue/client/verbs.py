"""The operations on a run, as functions. The command line and web pages use the engine's verbs through this module.

A verb is `(act, run_id) -> Done`. `say_to` applies one to a run, and `Selection` applies one to many.
"""

from segue.engine.bulk import RETRIED
from segue.engine.control import cancel_run, pause_run, resume_run
from segue.engine.reopening.manual import mark_step, skip_step
from segue.engine.verbs import LIVE, Done, Verb, say_to

__all__ = [
    "LIVE",
    "RETRIED",
    "Done",
    "Verb",
    "cancel_run",
    "mark_step",
    "pause_run",
    "resume_run",
    "say_to",
    "skip_step",
]
