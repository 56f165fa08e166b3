"""The objects that users work with: `Segue`, which is a database of workflows, and the objects it returns.

`segue.client.asynchronous` has the same to be awaited; it is imported by those who use it.
"""

from segue.client.debounce import Debounce
from segue.client.run import Run
from segue.client.segue import Segue
from segue.client.step import StepHandle

__all__ = ["Debounce", "Run", "Segue", "StepHandle"]
