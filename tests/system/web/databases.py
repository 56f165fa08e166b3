"""On which databases the tests of the suite open pages in a browser."""

from __future__ import annotations

import pytest

from tests.conftest import DIALECTS

on_both = pytest.mark.parametrize("fresh_url", DIALECTS, indirect=True)
"""Marks the few tests that the suite does on both databases: what they see comes from bells, forms and searches."""
