"""When a loop is live, and when it is ready."""

import pytest

from segue.errors import ConfigError
from segue.loop.small_server import parse_address
from segue.loop.systemd import notify, watchdog_seconds
from segue.loop.vitals import LIVE_SECONDS, Pulse

pytestmark = pytest.mark.unit


def test_a_database_that_is_away_makes_it_unready_and_a_stuck_loop_dead() -> None:
    now = 0.0
    complaints: list[str] = []
    pulse = Pulse("the worker", stale_seconds=30, others=lambda: complaints, clock=lambda: now)
    assert pulse.ready() == []
    now = 31
    pulse.came_round()
    assert pulse.live() == []
    assert pulse.ready() == ["the database has not answered the worker for 31 s"]
    pulse.was_answered()
    assert pulse.ready() == []
    complaints.append("it is stopping")
    assert pulse.ready() == ["it is stopping"]
    assert pulse.live() == []
    now += LIVE_SECONDS + 1
    assert pulse.live() == ["the worker has been stuck for 121 s"]


@pytest.mark.parametrize(
    "address, host, port", [("127.0.0.1:8081", "127.0.0.1", 8081), (":80", "", 80), ("[::1]:1", "::1", 1)]
)
def test_addresses(address: str, host: str, port: int) -> None:
    assert parse_address(address) == (host, port)


@pytest.mark.parametrize("address", ["8081", "127.0.0.1:", "127.0.0.1:http", "::1:80", "h:70000", "h:-1", "h:٣", ""])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="is not an address"):
        parse_address(address)


def test_nothing_is_told_where_there_is_no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("", "relative", "/no/such/socket"):
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        assert notify("READY=1") is False
    for usec, pid, wanted in (("", "", None), ("x", "", None), ("2000000", "1", None), ("0", "", None)):
        monkeypatch.setenv("WATCHDOG_USEC", usec)
        monkeypatch.setenv("WATCHDOG_PID", pid)
        assert watchdog_seconds() == wanted
    monkeypatch.delenv("WATCHDOG_PID")
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    assert watchdog_seconds() == 2.0
