"""Copies the pages into the layout of the site, and makes its navigation from the tables of docs/README.md.

    README.md            index.md           with the tables of contents of the whole site
    docs/README.md       contents.md
    docs/NAME.md         NAME.md            also docs/decisions/
    CHANGELOG.md ...     changelog.md ...
    examples/NAME/README.md, deploy/README.md ...   examples/NAME.md
    other files          files/PATH         what a page links: code, tests, manifests

    <!-- picture: NAME -->   the picture of a web page in light and dark, if `make screenshots` has taken it

A page that docs/README.md does not list stands under "More"; a test asks for it to be listed.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path, PurePosixPath

from website.reference import reference_pages

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PICTURES = ROOT / "build" / "pictures"
ELSEWHERE = {
    ROOT / "README.md": "index.md",
    DOCS / "README.md": "contents.md",
    ROOT / "CHANGELOG.md": "changelog.md",
    ROOT / "CONTRIBUTING.md": "contributing.md",
}
"""Pages whose place on the site is not the one below docs/."""

_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_ROW = re.compile(r"^\| \[[^\]]+\]\(([^)#]+\.md)\)", re.MULTILINE)
_PICTURE = re.compile(r"^<!-- picture: (\w+) -->$", re.MULTILINE)
_FILE = re.compile(r"^```python file=(\S+).*$", re.MULTILINE)


def pages() -> dict[Path, str]:
    """Every page, and its name on the site."""
    below = {page: str(page.relative_to(DOCS)) for page in sorted(DOCS.rglob("*.md"))}
    below[DOCS / "decisions" / "README.md"] = "decisions/index.md"
    return below | ELSEWHERE | {page: f"examples/{page.parent.name}.md" for page in examples()}


def examples() -> list[Path]:
    """What explains a folder of examples, of files to deploy, or of benchmarks."""
    return [
        *sorted((ROOT / "examples").glob("*/README.md")),
        ROOT / "deploy" / "README.md",
        ROOT / "benchmarks" / "README.md",
    ]


def sections() -> dict[str, list[Path]]:
    """The headings of docs/README.md, and the pages that the table under each one lists."""
    parts = re.split(r"^## (.+)$", (DOCS / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    listed = {
        heading: [(DOCS / link).resolve() for link in _ROW.findall(text)]
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return {heading: found for heading, found in listed.items() if found}


def unlisted() -> list[Path]:
    """Pages of docs/ that no table of docs/README.md has."""
    listed = {page for found in sections().values() for page in found}
    return [page for page in pages() if page.parent == DOCS and page not in listed and page not in ELSEWHERE]


def stage(folder: Path) -> None:
    """Write the whole source of the site below `folder`; files that are the same already keep their times."""
    wanted: dict[str, str] = dict(reference_pages())
    files: set[Path] = set()
    for page, name in pages().items():
        text = with_pictures(page.read_text(encoding="utf-8"), PICTURES)
        wanted[name] = with_links_of_the_site(text, page, name, files)
    wanted["index.md"] += _navigation()
    wanted["decisions/index.md"] += _toctree("", ["[0-9]*"], "glob")
    for old in folder.rglob("*.md"):
        if str(old.relative_to(folder)) not in wanted:
            old.unlink()
    for name, text in wanted.items():
        _write(folder / name, text)
    for file in PICTURES.glob("*.png"):
        (folder / "pictures").mkdir(exist_ok=True)
        shutil.copy2(file, folder / "pictures")
    for file in files:
        target = folder / _place_of(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def with_pictures(text: str, taken: Path) -> str:
    """The text of a page with the pictures that there are. They are made by a command and not stored."""

    def shown(found: re.Match[str]) -> str:
        name = found[1]
        files = {scheme: f"{name}-{scheme}.png" for scheme in ("light", "dark")}
        if not all((taken / file).exists() for file in files.values()):
            return ""
        return "\n".join(
            f"```{{image}} /pictures/{file}\n:class: only-{scheme}\n:alt: The page {name}\n```"
            for scheme, file in files.items()
        )

    return _PICTURE.sub(shown, text)


def with_links_of_the_site(text: str, page: Path, name: str, files: set[Path]) -> str:
    """The text of a page with links as the site needs them; files that it links are added to `files`."""

    def moved(found: re.Match[str]) -> str:
        before, link, after = found.groups()
        target = (page.parent / link).resolve()
        if "://" in link or link.startswith("mailto:") or not target.exists():
            return found[0]
        if target.is_dir():
            target /= "README.md"
            if target not in places:
                return before[before.index("[") + 1 : -2]  # a site has no folders; the words stay
        if target not in places:
            files.add(target)
        place = places.get(target) or _place_of(target)
        return f"{before}{os.path.relpath(place, PurePosixPath(name).parent)}{after}"

    places = pages()
    parts = _FENCE.split(text)
    return "".join(
        _FILE.sub(r"```{code-block} python\n:caption: \1\n", part) if part.startswith("```") else _LINK.sub(moved, part)
        for part in parts
    )


def _place_of(file: Path) -> str:
    return f"files/{file.relative_to(ROOT)}"


def _navigation() -> str:
    places = pages()
    trees = [_toctree("", ["contents"])]
    trees += [_toctree(heading, [places[page] for page in found]) for heading, found in sections().items()]
    if unlisted():
        trees.append(_toctree("More", [places[page] for page in unlisted()]))
    trees.append(_toctree("Examples", [places[page] for page in examples()]))
    trees.append(_toctree("API", [*reference_pages()]))
    trees.append(_toctree("Releases", ["changelog"]))
    return "".join(trees)


def _toctree(caption: str, entries: list[str], *options: str) -> str:
    lines = [f":caption: {caption}"] if caption else []
    lines += [":hidden:", ":maxdepth: 1", *(f":{option}:" for option in options), ""]
    return "\n\n```{toctree}\n" + "\n".join([*lines, *(entry.removesuffix(".md") for entry in entries)]) + "\n```\n"
