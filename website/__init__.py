"""The documentation as a website: `make docs` builds it from README.md, docs/ and the docstrings.

    staging       copies the pages into the layout of the site, and makes its navigation from docs/README.md
    reference     one page for each public module, with every name of its `__all__`
    docstrings    what autodoc needs to know about the way in which docstrings are written here
    conf          the settings of Sphinx

Nothing on the pages is written for the site only, so they read the same in a repository browser.
"""
