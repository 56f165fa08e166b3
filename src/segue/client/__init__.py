"""The objects that users work with: `Segue`, which is a database of workflows, and the objects it returns."""

from segue.client.debounce import Debounce
from segue.client.run import Run
from segue.client.segue import Segue
from segue.client.step import StepHandle

__all__ = ["Debounce", "Run", "Segue", "StepHandle"]
