"""Build the site: `python -m website [BUILDER]`, by default `html`; `linkcheck` asks other sites whether links work.

The outcome is in build/site/html. Any warning is an error.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.cmd.build import build_main

from website.staging import ROOT, stage


def build(builder: str, folder: Path) -> int:
    """Stage the pages below `folder` and build them; returns the exit code of Sphinx."""
    source = folder / "source"
    stage(source)
    config = ROOT / "website"
    words = ["-c", str(config), "-d", str(folder / "doctrees"), str(source), str(folder / builder)]
    return build_main(["-b", builder, "--fail-on-warning", "--keep-going", "--quiet", *words])


if __name__ == "__main__":
    place = ROOT / "build" / "site"
    builder = sys.argv[1] if len(sys.argv) > 1 else "html"
    code = build(builder, place)
    if code == 0:
        print(f"The site is in {place.relative_to(ROOT)}/{builder}.")
    sys.exit(code)
