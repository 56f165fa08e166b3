"""The version of this Segue, told nowhere else: the package and the documentation read it from here.

Between two releases it is that of the next one with `.dev0`.
"""

__version__ = "0.2.0.dev0"
