"""Dramatiq as an executor: its brokers, actors, middleware and workers stay; Segue keeps the graph.

broker.add_middleware(SegueMiddleware(Segue("postgresql://...")))

run = segue.start(Chain(fetch.message(7), Group(resize.message(640), resize.message(1280)), publish.message()))
run = segue.start(fetch.message(7) | resize.message(640))
"""

from segue.executors.dramatiq.compositions import Chain, Group, WithDelay
from segue.executors.dramatiq.elements import MessageStep, step
from segue.executors.dramatiq.flows import flow
from segue.executors.dramatiq.middleware import SegueMiddleware

__all__ = ["Chain", "Group", "MessageStep", "SegueMiddleware", "WithDelay", "flow", "step"]
