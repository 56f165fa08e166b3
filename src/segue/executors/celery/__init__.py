"""Celery as an executor: its app, tasks, workers, brokers and routes stay; Segue keeps the graph.

app = Celery("shop", broker="redis://...")
segue = Segue("postgresql://...")
install(app, segue)

run = segue.start(chain(fetch.s(7), group(resize.s(640), resize.s(1280)), publish.s()))
"""

from segue.executors.celery.beat import adopt_beat
from segue.executors.celery.follower import follow
from segue.executors.celery.install import install, plan_of
from segue.executors.celery.waits import wait_for

__all__ = ["adopt_beat", "follow", "install", "plan_of", "wait_for"]
