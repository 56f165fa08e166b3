"""Tasks that log, print, fail and die."""

from __future__ import annotations

import logging
import os
import signal
import threading

from segue import task

log = logging.getLogger("shop.orders")


@task
def charge(euro: int) -> int:
    """Log by its own logger and by that of a library, from its own thread and from another; print."""
    log.info("charged %d euro", euro, extra={"euro": euro, "api_key": "s3cret", "odd": {1, 2}, "task": "mine"})
    log.debug("not to be seen")
    logging.getLogger("library.http").warning("POST https://u:s3cret@shop.test/")
    print("printed by charge")  # noqa: T201 - that is the point
    other = threading.Thread(target=log.info, args=("from another thread",))
    other.start()
    other.join()
    return euro


@task
def refuse() -> None:
    """Log an error with its traceback, then fail with another."""
    try:
        raise KeyError("card")
    except KeyError:
        log.exception("cannot read the card")
    raise ValueError("no such card")


@task
def die() -> None:
    """Log, and be killed."""
    log.info("about to die")
    os.kill(os.getpid(), signal.SIGKILL)
