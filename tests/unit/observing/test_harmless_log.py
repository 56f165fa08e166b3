"""A logging handler of the user's may raise what it likes: whoever logs goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from segue.observing.harmless_log import HarmlessLogger, get_logger

NAME = "segue.test_harmless_log"
METHODS = ("debug", "info", "warning", "error", "exception", "critical")


class Raising(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError(record.getMessage())


class RaisingFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        raise KeyError("a field that is not there")


def _with_handler(logger: logging.Logger) -> None:
    logger.addHandler(Raising())


def _with_filter(logger: logging.Logger) -> None:
    logger.addFilter(RaisingFilter())


@pytest.fixture
def logger() -> Iterator[HarmlessLogger]:
    found = get_logger(NAME)
    found.logger.setLevel(logging.DEBUG)
    yield found
    found.logger.handlers.clear()
    found.logger.filters.clear()
    found.logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("spoil", [_with_handler, _with_filter])
def test_nothing_of_it_reaches_who_logs_and_it_is_said_once(
    logger: HarmlessLogger, capsys: pytest.CaptureFixture[str], name: str, spoil: Callable[[logging.Logger], None]
) -> None:
    spoil(logger.logger)
    for _ in range(2):
        getattr(logger, name)("%d of %s", 1, "two")
    assert capsys.readouterr().err.count("work continues without it") == 1


def test_what_is_meant_to_end_the_process_gets_through(logger: HarmlessLogger) -> None:
    class Interrupted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise KeyboardInterrupt

    logger.logger.addHandler(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        logger.info("hello")


def test_a_record_names_who_logged_it(logger: HarmlessLogger, caplog: pytest.LogCaptureFixture) -> None:
    logger.warning("hello")
    logger.log(logging.WARNING, "hello")
    assert {record.funcName for record in caplog.records} == {"test_a_record_names_who_logged_it"}
    assert {record.name for record in caplog.records} == {NAME}
