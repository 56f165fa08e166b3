"""A small library of files for the demo to measure, with everything that real ones have."""

from __future__ import annotations

from pathlib import Path

import pytest

SHAPES = '''\
"""Shapes.

Two of them.
"""

import os.path
from collections import abc, deque
from . import other

# a comment of its own


class Shape:
    """A shape."""

    def area(self, sides):  # with a comment behind the code
        if sides and len(sides) > 2:
            return [side for side in sides if side]
        return None

    async def draw(self):
        """Draw it."""
        def stroke():
            return os
        for _ in range(3):
            stroke()


def _hidden():
    return deque
'''


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder of sources: a package, a module, one broken file, and what must be left out."""
    root = tmp_path / "lib"
    files = {
        "shapes/__init__.py": SHAPES,
        "shapes/other.py": "x = 1\n",
        "empty.py": "",
        "broken.py": "def (:\n\n# why\n",
        "test/test_shapes.py": "import unittest\n",
        "shapes/tests/test_more.py": "import unittest\n",
        "site-packages/foreign.py": "import foreign\n",
        "config-3.11-x86_64-linux-gnu/python-config.py": "import sysconfig\n",
        "notes.txt": "no Python\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "latin.py").write_bytes(b"# -*- coding: latin-1 -*-\nname = '\xe9'\n")
    (root / "undecodable.py").write_bytes(b"name = '\xff\xfe'\n")
    (root / "linked.py").symlink_to(root / "empty.py")
    return root
