"""The objects that users hold: `Segue`, a database of workflows, and what it gives out."""

from segue.client.debounce import Debounce
from segue.client.run import Run
from segue.client.segue import Segue
from segue.client.step import StepHandle

__all__ = ["Debounce", "Run", "Segue", "StepHandle"]
