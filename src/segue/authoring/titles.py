"""The title and description of a task or workflow: given in the code, or made of its name and docstring."""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import Any

from segue.errors import DefinitionError
from segue.given import shown
from segue.plan.indexed import text_problem

MOST_TITLE_LETTERS = 200
MOST_DESCRIPTION_BYTES = 10_000

_BEFORE_A_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def title_of(label: str, said: object, name: str) -> str:
    """The given title, or one made of the last part of a name. Raises DefinitionError for an invalid title.

    Example::

        title_of("@task send_mail", None, "shop.send_mail")  # "Send mail"
    """
    if said is None:
        return humanised(name)
    if not isinstance(said, str) or not said.strip() or len(said) > MOST_TITLE_LETTERS or not said.isprintable():
        raise DefinitionError(
            f"{label}: title={shown(said)} is not a line of 1 to {MOST_TITLE_LETTERS} characters; write title='...'"
        )
    problem = text_problem(said, 4 * MOST_TITLE_LETTERS)
    if problem is not None:
        raise DefinitionError(f"{label}: title={shown(said)} {problem}; write another title='...'")
    return said.strip()


def description_of(label: str, said: object, doc: Any) -> str:
    """The given description, or the first paragraph of a docstring. Raises DefinitionError for another type.

    A description may be empty, and have several lines.
    """
    if said is None:
        return first_paragraph(doc)
    if said == "":
        return ""
    problem = text_problem(said, MOST_DESCRIPTION_BYTES)
    if problem is not None:
        raise DefinitionError(f"{label}: description={shown(said)} {problem}; write description='...'")
    return cleandoc(str(said))


def humanised(name: str) -> str:
    """The last part of a name as words: "shop.sendMail_now" is "Send mail now"."""
    last = name.rpartition(".")[2] or name
    words = re.split(r"[_\W]+", _BEFORE_A_CAPITAL.sub(" ", last))
    lowered = [word if word.isupper() else word.lower() for word in words if word]
    text = " ".join(lowered)
    return text[:1].upper() + text[1:] if text else name


def first_paragraph(doc: Any) -> str:
    """The first paragraph of a docstring, as one line; "" if there is none."""
    if not isinstance(doc, str):
        return ""
    paragraph = cleandoc(doc).strip().partition("\n\n")[0]
    text = " ".join(paragraph.split())
    return text[: MOST_DESCRIPTION_BYTES // 4]
