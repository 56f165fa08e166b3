"""The pages by subject. Each is a function from a `View` to a `Page`; `frame` renders them."""

from segue.web.pages import now, runs

MODULES = (now, runs)
"""What defines pages."""
