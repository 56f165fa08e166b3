"""The screenshots show what the commands say today."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts import layers
from scripts.screenshots import PICTURES, SHOTS, picture, take
from tests.docs.pages import README, links
from tests.docs.shown import in_one_form

CHARACTER_WIDTH = 12.2  # as rich draws
TEXT = "{http://www.w3.org/2000/svg}text"


def words_of(svg: str) -> list[str]:
    """The lines that a picture shows, in one form, without its title."""
    texts = [each for each in ElementTree.fromstring(svg).iter(TEXT) if "clip-path" in each.attrib]
    lines = []
    for _, words in groupby(texts, lambda each: each.get("y")):
        line = ""
        for each in words:
            line = line.ljust(round(float(each.attrib["x"]) / CHARACTER_WIDTH)) + (each.text or "")
        lines.append(line.replace("\xa0", " "))
    return in_one_form("\n".join(lines))


OTHERS = [pytest.param(name, marks=pytest.mark.proof) for name in SHOTS if name != "failure"]


@pytest.mark.parametrize("name", ["failure", *OTHERS])
def test_a_picture_shows_what_the_commands_say(name: str, tmp_path: Path) -> None:
    shown = words_of((PICTURES / f"{name}.svg").read_text())
    assert len(shown) > 5
    assert shown == words_of(picture(take(SHOTS[name], tmp_path), "")), "run `make screenshots`"


def test_pictures_ask_no_other_host_and_are_used() -> None:
    used = {link.rpartition("/")[2] for link in links(README)}
    for file in PICTURES.glob("*.svg"):
        assert file.stem in SHOTS
        assert "url(" not in file.read_text().replace("url(#", "")
        assert file.name in used


def test_the_picture_of_the_layers_is_that_of_the_contracts() -> None:
    assert layers.PICTURE.read_text() == layers.picture(), "run `make screenshots`"
