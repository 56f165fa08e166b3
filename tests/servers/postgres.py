"""PostgreSQL for the tests: found on this machine, started in a private folder, and cut into a database per test.

The server listens on a free port of the loopback address and asks for a random password. It does not wait for the disk
(`fsync=off`), because what the tests kill is processes and connections, never the machine.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.servers.folders import temporary_folder
from tests.servers.guard import Guarded
from tests.servers.ports import free_port, unprivileged_user

URL_VARIABLE = "SEGUE_TEST_POSTGRES_URL"
HOSTILE_VARIABLE = "SEGUE_TEST_POSTGRES_HOSTILE"
"""Set to anything, it has the whole suite run on a server with hostile settings."""
OLDEST_VERSION = 13
START_SECONDS = 60
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "autovacuum": "off",  # or plans would depend on when it comes by: a table that it saw empty is taken for empty
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "lc_messages": "C",
}
HOSTILE = {
    "DateStyle": "'German, DMY'",
    "IntervalStyle": "sql_standard",
    "TimeZone": "'Pacific/Chatham'",
    "array_nulls": "off",
    "backslash_quote": "off",
    "bytea_output": "escape",
    "check_function_bodies": "off",
    "client_encoding": "LATIN1",
    "client_min_messages": "log",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "enable_bitmapscan": "off",
    "enable_indexscan": "off",
    "enable_nestloop": "off",
    "exit_on_error": "on",
    "extra_float_digits": "-15",
    "idle_in_transaction_session_timeout": "'300ms'",
    "join_collapse_limit": "1",
    "lock_timeout": "'1ms'",
    "plan_cache_mode": "force_custom_plan",
    "search_path": "nowhere, pg_temp, public",
    "session_replication_role": "replica",
    "standard_conforming_strings": "off",
    "statement_timeout": "'200ms'",
    "transform_null_equals": "on",
    "xmloption": "document",
}
"""Settings that a server, a database or a role may have, each of which changes something for a program that trusts in
the defaults."""
FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
_counter = itertools.count(1)


class PostgresMissingError(RuntimeError):
    """No PostgreSQL server programs are on this machine."""

    def __init__(self) -> None:
        super().__init__(
            f"The tests need PostgreSQL {OLDEST_VERSION} or newer. None is on PATH or in {', '.join(FOLDERS)}. "
            f"Run `make servers` as root on Debian or Ubuntu, or install it (sudo apt-get install postgresql; "
            f"brew install postgresql), or set {URL_VARIABLE} to a server whose user may create databases."
        )


def find_programs() -> Path:
    """Return the folder with the newest `initdb` and `postgres`; raise `PostgresMissingError` when there is none."""
    found = [(version, folder) for folder in _candidates() if (version := _version(folder)) >= OLDEST_VERSION]
    if not found:
        raise PostgresMissingError
    return max(found)[1]


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    for pattern in FOLDERS:
        yield from Path("/").glob(pattern.removeprefix("/"))


def _version(folder: Path) -> int:
    """The major version in a folder, 0 when the programs are not all there."""
    if not (folder / "initdb").exists() or not (folder / "postgres").exists():
        return 0
    answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"(\d+)", answer)
    return int(number[1]) if number else 0


def _for_all_tests() -> dict[str, str]:
    """Hostile settings that the tests' own connections do not stumble over."""
    left_out = {"client_encoding", "default_transaction_isolation", "exit_on_error", "search_path"}
    return {
        name: value.strip("'")
        for name, value in HOSTILE.items()
        if name not in left_out and not name.endswith("_timeout")
    }


@dataclass(frozen=True)
class Account:
    """Who may connect, and with what password."""

    name: str
    password: str


class PostgresServer:
    """One private server. It may be stopped and started again; its data stay until `remove`.

    Example::

        server = PostgresServer.create()
        url = server.url
        server.stop()     # as a crash of the whole server: all connections break, what was committed stays
        server.start()    # on the same port
        server.remove()
    """

    def __init__(self, programs: Path, folder: Path, account: Account) -> None:
        self._programs = programs
        self._folder = folder
        self._account = account
        self._user = unprivileged_user()
        self._port = free_port()
        self._process: Guarded | None = None
        self.is_hostile = bool(os.environ.get(HOSTILE_VARIABLE))

    @classmethod
    def create(cls) -> PostgresServer:
        """Make a new cluster and start it."""
        folder = Path(tempfile.mkdtemp(prefix="segue-pg-", dir=temporary_folder()))
        server = cls(find_programs(), folder, Account("segue", secrets.token_hex(8)))
        try:
            server._make_cluster()
            server.start()
        except BaseException:
            server.remove()
            raise
        return server

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, with a user who may do everything."""
        return f"postgresql://{self._account.name}:{self._account.password}@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = SETTINGS | (_for_all_tests() if self.is_hostile else {})
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [
            str(self._programs / "postgres"),
            "-D",
            str(self._data),
            "-p",
            str(self._port),
            "-k",
            str(self._folder),
        ]
        self._process = Guarded(
            [*command, *options], folder=self._folder, log=self._log, stop_signal=signal.SIGQUIT, user=self._user
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if not self._process.is_running or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start. Its log ends with:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server at once, as a crash would."""
        if self._process is not None:
            self._process.stop(keep_folder=True)
            self._process = None

    def remove(self) -> None:
        """End the server and remove its data."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _make_cluster(self) -> None:
        password_file = self._folder / "password"
        password_file.write_text(self._account.password)
        if self._user:
            for path in (self._folder, password_file):
                shutil.chown(path, self._user)
        subprocess.run(
            [
                *(self._programs / "initdb", "-D", self._data, "-U", self._account.name, "--pwfile", password_file),
                *("--auth=password", "--encoding=UTF8", "--locale=C", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            cwd=self._folder,
            user=self._user,
            group=pwd.getpwnam(self._user).pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def create_database(server_url: str, *, template: str = "template1") -> str:
    """Make a new database on the server and return its URL; it is a copy of `template`, a database nobody is using."""
    name = f"segue_test_{os.getpid()}_{next(_counter)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return with_database(server_url, name)


def drop_database(url: str) -> None:
    """Remove a database that `create_database` made, whoever is still connected to it."""
    name = database_of(url)
    with psycopg.connect(with_database(url, "postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def with_database(url: str, name: str) -> str:
    """Return the URL with another database in it."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def make_hostile(url: str) -> None:
    """Give a database the settings that a program which trusts in the defaults would stumble over."""
    with psycopg.connect(with_database(url, "postgres"), autocommit=True) as connection:
        for name, value in HOSTILE.items():
            connection.execute(f'ALTER DATABASE "{database_of(url)}" SET {name} = {value}')


def database_of(url: str) -> str:
    """Return the name of the database in a URL."""
    return urlsplit(url).path.removeprefix("/")


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The URL of the server that all tests share: the environment's, or one started for as long as this lasts."""
    given = os.environ.get(URL_VARIABLE)
    if given:
        yield given
        return
    server = PostgresServer.create()
    try:
        yield server.url
    finally:
        server.remove()
