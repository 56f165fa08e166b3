"""Where a placeholder may stand in a command, and how its value is written there.

A value is written in single quotes, which makes it one word wherever a word may begin or continue, and nowhere else. A
template is therefore parsed as a shell parses it, and a placeholder is refused where quotes have another meaning:
inside quotes, backticks, here-documents, arithmetic, `${...}` and comments, and behind `$` or a backslash.

Promise: in an accepted template, no value can end the word that contains it. Syntax that shells parse differently, or
that cannot be parsed with certainty, is refused if the template has a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from string import Formatter
from typing import NoReturn

from segue.errors import DefinitionError

HOLE = "\0"  # stands for a placeholder in the text that is parsed
_REMEDY = "leave out the quotes, Segue quotes the value; for anything more complex, pass the value to a script"
_ENDS_A_WORD = frozenset(" \t\n;&|()")
_DELIMITER = re.compile(r"[ \t]*(?:'([\w.-]+)'|\"([\w.-]+)\"|\\?([\w.-]+))")
_UNSURE_INSIDE = re.compile(r"""['"`\\]|\$[({]|<<""")  # of backticks, arithmetic and ${...}
_CASE = re.compile(r"(?<![\w$])case(?!\w)")


def quoted(value: str) -> str:
    """A text as one word of the shell, whatever it contains; never a keyword, an assignment or a file number."""
    return "'" + value.replace("'", "'\"'\"'") + "'"


def check_places(command: str) -> None:
    """Refuse a command with a placeholder where no value can be written safely. Raises DefinitionError."""
    pieces = [
        literal + (HOLE if field is not None else "") for literal, field, _, _ in Formatter().parse(command)
    ]  # each as the shell will see it
    if "\0" in command:
        raise DefinitionError(f"the command {command!r} holds a NUL character, which no command can")
    text = "".join(pieces)
    if HOLE in text:
        _Reading(command, text).read()


class _Reading:
    """One pass through the text of a command, from left to right."""

    def __init__(self, command: str, text: str) -> None:
        self._command = command
        self._text = text
        self._at = 0
        self._documents: list[tuple[str, bool]] = []  # the ends of those that begin with the next line; without tabs?

    def read(self) -> None:
        self._commands(until="")

    # Each of these begins after the opening character of its part of the text, and ends after the closing one.

    def _commands(self, *, until: str, inside_quotes: bool = False) -> None:
        """Commands outside of all quotes: special characters are parsed, everything else is words."""
        before = "\n"
        began = self._at
        while self._at < len(self._text):
            char = self._take()
            if char == until:
                self._check_substitution(began, inside_quotes)
                return
            if char == HOLE and inside_quotes:
                self._refuse('inside "..."')
            if char == "\\":
                following = self._take()
                if following == HOLE:
                    self._refuse("behind a backslash")
                before = before if following == "\n" else char
                continue
            if char == "#" and before in _ENDS_A_WORD:
                self._comment()
            elif char == "#" and before in (HOLE, "<", ">"):
                self._unsure("a # behind a placeholder or a redirection")
            else:
                self._special(char, before, inside_quotes)
            before = char
        if until:
            self._unsure(f"something that has no end: {until}")

    def _special(self, char: str, before: str, inside_quotes: bool) -> None:
        reading: dict[str, Callable[[], None]] = {
            "'": self._single, '"': self._double, "`": self._backticks, "$": lambda: self._dollar(inside_quotes),
            "(": lambda: self._parenthesis(before, inside_quotes),
        }  # fmt: skip
        began = self._at
        if char in reading:
            reading[char]()
            if self._documents and "\n" in self._text[began : self._at]:
                self._unsure("a line that ends inside quotes before a here-document begins")
        elif char == "<":
            self._redirection()
        elif char == "\n":
            self._here_documents()

    def _single(self) -> None:
        self._through("'", "inside '...'")

    def _double(self) -> None:
        while (char := self._take()) != '"':
            if char == "":
                self._unsure('a " that has no end')
            if char == HOLE or (char == "\\" and self._take() == HOLE):
                self._refuse('inside "..."')
            if char == "`":
                self._backticks()
            elif char == "$":
                self._dollar(inside_quotes=True, is_double=True)

    def _backticks(self) -> None:
        self._simple("`", "inside backticks")

    def _dollar(self, inside_quotes: bool, *, is_double: bool = False) -> None:
        if self._next(HOLE):
            self._refuse("behind $")
        if self._skip("(("):
            self._arithmetic()
        elif self._skip("("):
            self._commands(until=")", inside_quotes=inside_quotes)
        elif self._skip("{"):
            self._simple("}", "inside ${...}")
        elif self._next("["):
            self._unsure("$[")
        elif not is_double and self._skip("'"):
            began = self._at
            self._through("'", "inside $'...'")
            if "\\'" in self._text[began : self._at]:
                self._unsure("a quote inside $'...'")

    def _parenthesis(self, before: str, inside_quotes: bool) -> None:
        if self._next("("):
            self._unsure("((")
        self._commands(until=")", inside_quotes=inside_quotes)
        if self._next("#") and before not in _ENDS_A_WORD:
            self._unsure("a # behind <(...)")

    def _arithmetic(self) -> None:
        depth, began = 0, self._at
        while (char := self._take()) != "":
            if char == HOLE:
                self._refuse("inside $((...))")
            depth += (char == "(") - (char == ")")
            if depth < 0:
                break
        if not self._skip(")") or _UNSURE_INSIDE.search(self._text[began : self._at]):
            self._unsure("$((")

    def _comment(self) -> None:
        while not self._next("\n"):
            char = self._take()
            if char == HOLE:
                self._refuse("in a comment")
            if char == "":
                return

    def _redirection(self) -> None:
        if not self._skip("<"):
            return
        if self._skip("<"):  # a here-string: a word follows
            return
        without_tabs = self._skip("-")
        found = _DELIMITER.match(self._text, self._at)
        if found is None or not self._is_word_end(found.end()):
            self._unsure("<< with an end that is not a plain word")
        self._at = found.end()
        self._documents.append((found[1] or found[2] or found[3], without_tabs))

    def _here_documents(self) -> None:
        for end, without_tabs in self._documents:
            while True:
                newline = self._text.find("\n", self._at)
                line = self._text[self._at : newline if newline >= 0 else len(self._text)]
                self._at = newline + 1 if newline >= 0 else len(self._text)
                if (line.lstrip("\t") if without_tabs else line) == end:
                    break
                if HOLE in line:
                    self._refuse("inside a here-document")
                if line.endswith("\\"):
                    self._unsure("a here-document with a backslash at the end of a line")
                if newline < 0:
                    return
        self._documents.clear()

    def _simple(self, end: str, where: str) -> None:
        began = self._at
        self._through(end, where)
        if _UNSURE_INSIDE.search(self._text[began : self._at - 1]):
            self._unsure(f"quotes or substitutions {where}")

    def _through(self, end: str, where: str) -> None:
        while (char := self._take()) != end:
            if char == "":
                self._unsure(f"a {end} that has no end")
            if char == HOLE:
                self._refuse(where)

    def _check_substitution(self, began: int, inside_quotes: bool) -> None:
        """Inside "$(...)" a `case`, a comment or a here-document would hide where the quotes end."""
        if inside_quotes and (_CASE.search(self._text, began, self._at) or "#" in self._text[began : self._at]):
            self._unsure('case or # inside "$(...)"')
        if self._documents:
            self._unsure("a here-document inside $(...)")

    def _take(self) -> str:
        char = self._text[self._at : self._at + 1]
        self._at += 1
        return char

    def _next(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _skip(self, text: str) -> bool:
        if not self._next(text):
            return False
        self._at += len(text)
        return True

    def _is_word_end(self, at: int) -> bool:
        return self._text[at : at + 1] in ("", *_ENDS_A_WORD, "<", ">")

    def _refuse(self, where: str) -> NoReturn:
        raise DefinitionError(
            f"the command {self._command!r} has a placeholder {where}, where a value could become a part of the "
            f"command; {_REMEDY}"
        )

    def _unsure(self, what: str) -> NoReturn:
        raise DefinitionError(
            f"the command {self._command!r} has {what}, so that it is not certain where its placeholders "
            f"stand; {_REMEDY}"
        )
