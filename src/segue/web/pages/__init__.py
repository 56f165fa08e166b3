"""The pages by subject. Each is a function from a `View` to a `Page`; `frame` renders them."""

from segue.web.pages import now, run, runs

MODULES = (now, run, runs)
"""What defines pages."""
