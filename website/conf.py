"""The settings of Sphinx."""

from __future__ import annotations

from typing import Any

from segue.version import __version__
from website.docstrings import as_restructured_text

project = "Segue"
author = "The Segue authors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]

myst_heading_anchors = 6  # as code forges make them, so that links work in both places
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # those of other libraries are written for their own sites
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
toc_object_entries_show_parents = "hide"

smartquotes = False  # what is typed stays as it is typed

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_title = f"Segue {release}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"

linkcheck_timeout = 20
linkcheck_anchors = False


def setup(app: Any) -> None:
    """Docstrings are written for people who read code; autodoc gets them with the marks that it needs."""
    app.connect("autodoc-process-docstring", as_restructured_text)
