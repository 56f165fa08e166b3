"""`AsyncSegue`: the same verbs as `Segue`, to be awaited."""

from segue.client.asynchronous.run import AsyncRun, AsyncStep
from segue.client.asynchronous.segue import AsyncSegue

__all__ = ["AsyncRun", "AsyncSegue", "AsyncStep"]
