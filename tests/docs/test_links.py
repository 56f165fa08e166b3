"""Every relative link leads to a file that is there, and to a heading that it has; every page can be reached."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, README, ROOT, anchors, links, pages

SOURCE = ROOT / "src/segue"
OUTSIDE = ("http://", "https://", "mailto:")


@pytest.mark.parametrize("page", pages(), ids=[str(page.relative_to(ROOT)) for page in pages()])
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = [link for link in links(page) if not link.startswith(OUTSIDE) and not leads_somewhere(page, link)]
    assert broken == []


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors(target))


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [README]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        paths = [link.partition("#")[0] for link in links(page) if not link.startswith(OUTSIDE)]
        targets = [(page.parent / path).resolve() for path in paths if path.endswith(".md")]
        waiting += [target for target in targets if target.is_relative_to(DOCS)]
    assert set(pages()) - reached == set()


@pytest.mark.parametrize(
    "text", [DOCS / "architecture.md", ROOT / "src/segue/engine/__init__.py"], ids=lambda path: path.name
)
def test_every_file_that_a_map_of_the_code_names_is_there(text: Path) -> None:
    named = set(re.findall(r"(?<![\w/.*])((?:\w+/)*\w+\.py|(?:\w+/)+)(?=[\s`;:,.)])", text.read_text(encoding="utf-8")))
    assert len(named) > 20
    places = [text.parent, SOURCE, ROOT]
    assert [name for name in sorted(named) if not any((place / name).exists() for place in places)] == []


def test_no_page_is_left_unfinished() -> None:
    words = ("coming soon", "to be written", "lorem ipsum", "???")
    found = [(page.name, word) for page in pages() for word in words if word in page.read_text(encoding="utf-8")]
    assert found == []
