"""The pages by subject. Each is a function from a `View` to a `Page`; `frame` renders them."""

from segue.web.pages import api_docs, now, run, run_pictures, run_records, runs, step

MODULES = (api_docs, now, run, run_pictures, run_records, runs, step)
"""What defines pages."""
