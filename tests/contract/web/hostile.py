"""What people and programs may write into names, keys, arguments, errors and outputs to hurt who looks at them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from tests.thorough import IS_THOROUGH

RTL = "\u202e"
TEXTS = (
    "\"><img src=x onerror=alert('b')><script>alert('a')</script>",
    "' autofocus onfocus='alert(1)' x='{{7*7}}${7*7}{% raw %}",
    "javascript:alert('c')",
    f"invoice{RTL}fdp.exe",
    "</title></textarea></svg><svg onload=alert('d')><tspan>]]>",
    "..%2f../a/b?c=d&e#f",
    "😀\u2028é" + "w" * 45,
)
"""Texts that may be names as well."""

VALUES = (
    "nul \0 and \x1b[31mred\x1b[0m \x1b]8;;https://example.org\x07link\x1b]8;;\x07 bell\x07",
    "<b>" * (350_000 if IS_THOROUGH else 30_000),
    "</script></pre><style>*{display:none}</style>" * 500,
)
"""Texts that only values, errors and outputs can be."""

ELEMENTS = frozenset(
    [
        "a",
        "article",
        "aside",
        "b",
        "body",
        "br",
        "button",
        "circle",
        "code",
        "datalist",
        "dd",
        "defs",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "g",
        "h1",
        "h2",
        "h3",
        "head",
        "header",
        "hr",
        "html",
        "i",
        "input",
        "kbd",
        "label",
        "legend",
        "li",
        "line",
        "link",
        "main",
        "marker",
        "meta",
        "meter",
        "nav",
        "ol",
        "optgroup",
        "option",
        "p",
        "path",
        "pattern",
        "pre",
        "progress",
        "rect",
        "script",
        "section",
        "select",
        "small",
        "span",
        "strong",
        "style",
        "summary",
        "svg",
        "table",
        "tbody",
        "td",
        "text",
        "textarea",
        "tfoot",
        "th",
        "thead",
        "time",
        "title",
        "tr",
        "tspan",
        "ul",
        "use",
        "wbr",
    ]
) - {"style"}
"""What pages consist of."""


class Inspection(HTMLParser):
    """Finds in a page what only an attacker writes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.elements = 0
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements += 1
        given = dict(attrs)
        if tag not in ELEMENTS:
            self.found.append(f"<{tag}> {attrs}")
        if tag == "script" and not re.search(r"/static/(app|beside|pictures)\.js\?v=\w+$", given.get("src") or ""):
            self.found.append(f"a script: {attrs}")
        for name, value in attrs:
            text = (value or "").strip().lower()
            if name.startswith("on") or name in ("style", "srcdoc", "autofocus"):
                self.found.append(f"<{tag} {name}={value}>")
            if name in ("href", "src", "action", "formaction") and not text.startswith(("/", "#", "?", "https://", "")):
                self.found.append(f"<{tag} {name}={value}>")
            if name in ("href", "src", "action") and text.startswith(("javascript:", "data:", "vbscript:", "//")):
                self.found.append(f"<{tag} {name}={value}>")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def inspected(page: str) -> Inspection:
    """A page that was looked through."""
    made = Inspection()
    made.feed(page)
    made.close()
    seen = set("".join(made.texts))
    made.found += [
        f"the character {char!r}" for char in sorted(seen) if (char < " " and char not in "\n\t") or char in RTL
    ]
    return made
