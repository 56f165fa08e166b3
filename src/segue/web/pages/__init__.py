"""The pages by subject. Each is a function from a `View` to a `Page`; `frame` renders them."""

from segue.web.pages import api_docs, now, run, runs

MODULES = (api_docs, now, run, runs)
"""What defines pages."""
