"""`segue web`: the web pages and the HTTP API."""

from __future__ import annotations

import ipaddress

import click

from segue.cli.options import Setup, pass_setup, with_setup
from segue.cli.printing import print_line
from segue.errors import ConfigError

PORT = 8042
MISSING = 'The web pages need further packages. Install them: pip install "segue[web]"'


@click.command(short_help="Serve the web pages and the HTTP API.")
@with_setup
@click.option("--host", default="127.0.0.1", show_default=True, help="The address on which to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes a free port.")
@pass_setup
def command(setup: Setup, host: str, port: int) -> None:
    """Serve the web pages and the HTTP API, until it is stopped.

    On an address that only this machine reaches, everybody who can open it may do everything.

    \b
    Example:
      segue web --database sqlite:///segue.db
    """
    try:
        from segue.web.access.local import LOCAL_HOSTS, LocalAccess  # noqa: PLC0415 - optional packages
        from segue.web.app import Application  # noqa: PLC0415
        from segue.web.serve import listen, serve  # noqa: PLC0415
        from segue.web.site import Settings, Site  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    if not is_loopback(host):
        raise ConfigError(
            f"--host {host} can be reached by other machines, and there is no access control yet. "
            "Listen on 127.0.0.1, behind a proxy that asks for a login."
        )
    setup.import_apps()
    with setup.segue() as segue:
        listening = listen(host, port)
        shown = f"[{host}]" if ":" in host else host
        print_line(f"Segue is at http://{shown}:{listening.getsockname()[1]}/ (Ctrl-C stops it)")
        serve(Application(Site(segue, LocalAccess(), Settings(allowed_hosts=LOCAL_HOSTS))), listening)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
