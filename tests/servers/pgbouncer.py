"""PgBouncer for the tests: found on this machine, and started in front of a PostgreSQL server.

It has one connection to the server for many clients at most, so that in transaction mode two clients soon meet in it.
"""

from __future__ import annotations

import pwd
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.servers.folders import temporary_folder
from tests.servers.guard import Guarded
from tests.servers.ports import free_port, unprivileged_user

START_SECONDS = 20


class PgBouncerMissingError(RuntimeError):
    """No PgBouncer is on this machine."""

    def __init__(self) -> None:
        super().__init__(
            "The tests of connection poolers need PgBouncer, and there is none. "
            "Run `make servers` as root on Debian or Ubuntu, or install it (apt-get install pgbouncer)."
        )


def find_program() -> str:
    """Return the path of `pgbouncer`; raise `PgBouncerMissingError` when there is none."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise PgBouncerMissingError
    return found


@contextmanager
def pooling(server_url: str, mode: str, *, size: int = 20) -> Iterator[str]:
    """The URL of the same database behind a pooler in this mode (`session`, `transaction`) with `size` connections."""
    folder = Path(tempfile.mkdtemp(prefix="segue-pgb-", dir=temporary_folder()))
    parts = urlsplit(server_url)
    port = free_port()
    user = unprivileged_user()
    (folder / "users").write_text(f'"{parts.username}" "{parts.password or ""}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={parts.hostname} port={parts.port or 5432} password={parts.password or ''}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {folder}/users\npool_mode = {mode}\ndefault_pool_size = {size}\nserver_round_robin = 1\n"
    )
    for path in (folder, *folder.iterdir()):
        if user:
            shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    command = [find_program(), str(folder / "pgbouncer.ini")]
    process = Guarded(command, folder=folder, log=folder / "log", stop_signal=signal.SIGTERM, user=user)
    url = f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            if not process.is_running or time.monotonic() > deadline:
                raise RuntimeError(
                    f"PgBouncer did not start. Its log ends with:\n{(folder / 'log').read_text()[-2000:]}"
                )
            time.sleep(0.02)
        yield url
    finally:
        process.stop()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
