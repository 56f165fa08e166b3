"""The version of this Segue."""

__version__ = "0.1.0"
