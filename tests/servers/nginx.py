"""nginx for the tests: found on this machine, and started with a `server` of its own."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.folders import temporary_folder
from tests.servers.guard import Guarded
from tests.servers.ports import free_port, listens

START_SECONDS = 20

SETTINGS = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {server}
    }}
}}
"""


class NginxMissingError(RuntimeError):
    """No nginx is on this machine."""

    def __init__(self) -> None:
        super().__init__(
            "The test of the web pages behind a proxy needs nginx, and there is none. "
            "Run `make servers` as root on Debian or Ubuntu, or install it (apt-get install nginx-light)."
        )


def find_program() -> str:
    """Return the path of `nginx`; raise `NginxMissingError` when there is none."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NginxMissingError
    return found


@contextmanager
def running_nginx(server: str, *, port: int | None = None) -> Iterator[str]:
    """The address of an nginx whose `server` has these directives."""
    folder = Path(tempfile.mkdtemp(prefix="segue-nginx-", dir=temporary_folder()))
    port = port or free_port()
    (folder / "nginx.conf").write_text(SETTINGS.format(folder=folder, port=port, server=server))
    command = [find_program(), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    process = Guarded(command, folder=folder, log=folder / "log", stop_signal=signal.SIGTERM)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not listens(port):
            if not process.is_running or time.monotonic() > deadline:
                raise RuntimeError(f"nginx did not start. Its log ends with:\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()
