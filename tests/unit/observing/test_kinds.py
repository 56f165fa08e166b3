"""Kinds of events: patterns mean what they say, mistakes are told, and every kind that the code writes is listed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import segue
from segue.errors import ConfigError
from segue.observing.kinds import KINDS, expand, matching

PACKAGE = Path(segue.__file__).parent


def test_a_kind_means_itself() -> None:
    assert expand(["run.failed"]) == {"run.failed"}


def test_a_star_means_any_text() -> None:
    assert expand(["step.*"]) == {kind for kind in KINDS if kind.startswith("step.")}
    assert expand(["*.late_end"]) == {"run.late_end", "step.late_end"}
    assert expand(["*"]) == set(KINDS)
    assert expand(["run.failed", "*.failed"]) == {"run.failed", "step.failed"}


@pytest.mark.parametrize("pattern", ["run.faild", "job.*", "", "failed", 7])
def test_what_does_not_exist_is_refused_with_what_does(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.started, run\.succeeded") as told:
        expand(["run.failed", pattern])
    assert repr(pattern) in str(told.value)


def test_a_typing_error_is_answered_with_a_guess() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean run\.failed"):
        expand(["run.faild"])


def test_an_unknown_pattern_that_is_stored_means_nothing() -> None:
    assert matching("run.of_a_newer_version") == set()


def test_every_kind_that_is_recorded_is_listed() -> None:
    kind = re.compile(r"(run|step)\.[a-z_]+")
    named = {
        node.value
        for folder in ("engine", "scheduler", "client")
        for path in (PACKAGE / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and kind.fullmatch(node.value)
    }
    assert {"run.paused", "step.skipped", "run.started"} <= named
    assert named - set(KINDS) == set()
