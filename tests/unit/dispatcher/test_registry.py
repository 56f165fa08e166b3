"""Executors by name, and which of them a dispatcher takes steps to."""

from __future__ import annotations

import pytest

from segue.cli.dispatcher import _chosen
from segue.dispatcher.registry import register
from segue.errors import ConfigError, DefinitionError
from segue.testing import ScriptedPlatform

pytestmark = pytest.mark.usefixtures("no_other_executors")


def test_all_of_them_or_those_that_are_named() -> None:
    first, second = ScriptedPlatform("first"), ScriptedPlatform("second")
    for platform in (second, first):
        register(platform)
    assert _chosen(()) == [first, second]
    assert _chosen(("second",)) == [second]


def test_names_that_are_not_there() -> None:
    with pytest.raises(ConfigError, match="they define none"):
        _chosen(())
    register(ScriptedPlatform("first"))
    with pytest.raises(ConfigError, match="no executor 'other'; there are first"):
        _chosen(("other",))


@pytest.mark.parametrize("name", ["", "Far", "a b", "celery", "dispatcher", "@far"])
def test_names_that_no_executor_may_have(name: str) -> None:
    with pytest.raises(DefinitionError, match="name of an executor"):
        register(ScriptedPlatform(name))
