"""Hides secrets in what Segue shows: passwords, tokens and keys become `***`.

A secret is recognized by its name: a key of a dict, a parameter, a header, `NAME=value` in a text, or the password of a
URL. `SEGUE_MASK_NAMES` adds names, and shows names that are no secrets: `iban,*_pin,!page_token`.

Promise: the value that is given is not changed, and no function here raises. This is a safety net: a secret in a
text that gives it no name cannot be recognized.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache

HIDDEN = "***"
NAMES_VARIABLE = "SEGUE_MASK_NAMES"
DEEPEST = 100
"""Values that are nested more deeply are hidden as a whole."""

SHORTEST_KNOWN = 4
"""Shorter secrets are not looked for inside texts: they would occur in half of the words."""

_SECRET_NAME = re.compile(
    r"(pass(word|wd|phrase|code)?s?|pwd|secrets?|token|auth|authorization|credentials?|dsn|cookie|bearer|jwt"
    r"|connection[_-]?string|(api|access|account|auth|private|secret|signing|encryption|shared|ssh)[_-]?key)[0-9]*\Z",
    re.IGNORECASE,
)
_INNOCENT = re.compile(r"(by|com|sur|tres|under|over)passe?s?\Z", re.IGNORECASE)
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,40})://([^\s\"'<>`]*)")
_PATH = re.compile(r"[/?#]")
_WEB = frozenset({"http", "https", "ws", "wss", "ftp", "ftps"})
_VALUE = r"""("(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|[^\s&;,"'(){}\[\]<>]+)"""
_QUOTED = re.compile(rf"""(["'])([\w.-]+)\1(\s*[:=]\s*b?){_VALUE}""")
_ASSIGNED = re.compile(rf"(?<![\w.-])(-{{0,2}})([\w.-]+)(\s?=\s?){_VALUE}")
_OPTION = re.compile(rf"(?<![\w-])(--?)([A-Za-z][\w-]*)( +){_VALUE}")
_LINE = re.compile(r"^([ \t]*(?:[-*<>] ?)?)([\w.-]+)(: *)(\S.*)$", re.MULTILINE)
_BEARER = re.compile(r"\b(Bearer|Basic)( +)[A-Za-z0-9+/._~=-]{8,}")
_PAIRS = ((_QUOTED, ":="), (_LINE, ":"), (_ASSIGNED, "="), (_OPTION, "-"))
"""Patterns, and the characters without which they find nothing: a text may be very long."""

_EMPTY = frozenset({"None", "null", "true", "false", "True", "False", HIDDEN})
DEEPEST_PAIR = 8
"""Pairs in values of pairs, as in `a=b=c`, are looked at so deeply; below that, each value is hidden."""

_HINT = re.compile(r"[=:]|--|earer |asic ")


def masked(value: object, names: Container[str] = ()) -> object:
    """A JSON-like copy of a value in which secrets are replaced by `***`; None and booleans are shown.

    `names` are further names of secrets, as of the parameters that are annotated with `Secret`.

    Example::

        masked({"user": "ada", "password": "s3cret", "pin": 1234}, {"pin"})
        # {"user": "ada", "password": "***", "pin": "***"}
    """
    return _masked(value, names, 0)


def masked_text(text: str) -> str:
    """A text in which passwords of URLs and values that are given as `password=...` and the like are `***`.

    Example::

        masked_text("cannot open postgresql://app:s3cret@db/shop")  # "cannot open postgresql://app:***@db/shop"
    """
    if not _HINT.search(text):
        return text
    if "://" in text:
        text = _URL.sub(_masked_url, text)
    for pattern, needed in _PAIRS:
        if any(each in text for each in needed):
            text = _masked_pairs(pattern, text)
    return _BEARER.sub(rf"\1\2{HIDDEN}", text) if "earer " in text or "asic " in text else text


def is_secret_name(name: str) -> bool:
    """Whether a value of this name is hidden."""
    return _judged(name, os.environ.get(NAMES_VARIABLE, ""))


def known_secrets(value: object) -> list[str]:
    """The texts in a value that is a secret as a whole, the longest first: to find them in texts."""
    found: set[str] = set()
    _gather(value, found, 0)
    return sorted(found, key=len, reverse=True)


def without_secrets(text: str, secrets: list[str]) -> str:
    """A text in which these secrets are `***`."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def _masked(value: object, names: Container[str], depth: int) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth > DEEPEST:
        return HIDDEN
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, Mapping):
        return {key: _of_name(key, item, names, depth) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(item, names, depth + 1) for item in value]
    return value


def _of_name(name: object, value: object, names: Container[str], depth: int) -> object:
    is_secret = isinstance(name, str) and (name in names or is_secret_name(name))
    if is_secret and not (value is None or isinstance(value, bool)):
        return HIDDEN
    return _masked(value, names, depth + 1)


@lru_cache(maxsize=4096)
def _judged(name: str, patterns: str) -> bool:
    lower = name.lower()
    for pattern in filter(None, (each.strip().lower() for each in patterns.split(","))):
        is_shown = pattern.startswith("!")
        if fnmatchcase(lower, pattern.removeprefix("!")):
            return not is_shown
    found = _SECRET_NAME.search(name)
    return found is not None and not _INNOCENT.search(name)


def _masked_url(found: re.Match[str]) -> str:
    """The URL without its password. Elsewhere than on the web, a password may hold any character."""
    scheme, rest = found[1], found[2]
    is_web = scheme.lower() in _WEB
    path = _PATH.search(rest) if is_web else None
    authority = rest[: path.start()] if path else rest
    who, at, _ = authority.rpartition("@")
    if not at:
        return found[0]
    user, colon, password = who.partition(":")
    if not colon and is_web:  # a token of a code forge, or the key of a Sentry project
        user = HIDDEN
    return f"{scheme}://{user}{colon}{HIDDEN if password else ''}{rest[len(who) :]}"


def _masked_pairs(pattern: re.Pattern[str], text: str) -> str:
    """The text with `***` for the values of secret names. A value of another name may itself have such pairs."""
    parts: list[str] = []
    inside: list[int] = []  # the ends of the values in which it looks
    copied = at = 0
    while found := pattern.search(text, at):
        while inside and found.start() >= inside[-1]:
            inside.pop()
        name, value = found[2], found[4]
        is_shown = value in _EMPTY or not (is_secret_name(name) or len(inside) >= DEEPEST_PAIR)
        if is_shown:
            inside.append(found.end())
            at = found.start(4)
            continue
        quote = value[0] if value[0] in "\"'" else ""
        parts += text[copied : found.start(4)], quote, HIDDEN, quote
        copied = at = found.end()
    return "".join([*parts, text[copied:]]) if parts else text


def _gather(value: object, found: set[str], depth: int) -> None:
    if isinstance(value, str):
        if len(value) >= SHORTEST_KNOWN:
            found.add(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        _gather(str(value), found, depth)
    elif depth <= DEEPEST:
        for item in _parts(value):
            _gather(item, found, depth + 1)


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, (list, tuple, set, frozenset)) else ()
