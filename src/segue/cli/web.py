"""`segue web`: the web pages and the HTTP API."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from segue.cli.durations import duration_option
from segue.cli.logging_options import LogOptions, with_log_options
from segue.cli.options import AnyCallable, Setup, pass_setup, with_setup
from segue.cli.printing import print_line
from segue.client import Segue
from segue.client.metrics import count_in_this_process
from segue.errors import ConfigError
from segue.observing.metrics.meter import metering
from segue.observing.metrics.registry import LIVE_STREAMS

if TYPE_CHECKING:
    from segue.web.app import Application

PORT = 8042
MISSING = 'The web pages need further packages. Install them: pip install "segue[web]"'
MISSING_OIDC = 'A login at an identity provider needs further packages. Install them: pip install "segue[oidc]"'

CLOSED = """--host {host} can be reached by other machines, and people need not log in. Choose one:
  segue web --host {host} --login                                    access tokens; make one: segue tokens create NAME
  segue web --host {host} --oidc-issuer URL --oidc-client-id ID      the login of your organization
  segue web --host {host} --trust-proxy NETWORK --user-header NAME   a proxy that has a login"""


@dataclass(frozen=True, slots=True)
class WebArguments:
    """How the pages are served, and who may use them."""

    host: str
    port: int
    public_url: str | None
    login: bool
    trust_proxy: tuple[str, ...]
    user_header: str | None
    groups_header: str | None
    roles: str | None
    default_role: str
    oidc_issuer: str | None
    oidc_client_id: str | None
    oidc_client_secret: str | None
    oidc_groups_claim: str
    session_lasts: float | None
    allow_shell: bool
    require_reason: bool
    live: str
    ssl_certfile: str | None
    ssl_keyfile: str | None

    @property
    def asks(self) -> bool:
        """Whether callers have to say who they are."""
        return self.login or self.oidc_issuer is not None or self.user_header is not None

    def application(self, segue: Segue) -> Application:
        """The application. Raises ConfigError for settings that do not fit, and if any person could enter."""
        if not self.asks and not is_loopback(self.host):
            raise ConfigError(CLOSED.format(host=self.host))
        if self.user_header is not None and not self.trust_proxy:
            raise ConfigError("--user-header is believed only from a proxy. Name its address: --trust-proxy 10.0.0.0/8")
        try:
            from segue.web.access.combined import LoginAccess  # noqa: PLC0415 - optional packages
            from segue.web.access.local import LOCAL_HOSTS, LocalAccess  # noqa: PLC0415
            from segue.web.access.proxy import TrustedProxy  # noqa: PLC0415
            from segue.web.access.roles_by_group import GroupRoles  # noqa: PLC0415
            from segue.web.app import Application  # noqa: PLC0415
            from segue.web.site import Settings, Site  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ConfigError(MISSING) from error
        roles = GroupRoles.parsed(self.roles, default=self.default_role)
        proxy = None
        if self.trust_proxy:
            proxy = TrustedProxy(
                self.trust_proxy, user_header=self.user_header, groups_header=self.groups_header, roles=roles
            )
        settings = Settings(
            public_url=self.public_url, allow_shell=self.allow_shell, live=self.live,
            requires_reason=self.require_reason, allowed_hosts=self._hosts(LOCAL_HOSTS),
        )  # fmt: skip
        if not self.asks:
            return Application(Site(segue, LocalAccess(), settings))
        lasts = None if self.session_lasts is None else timedelta(seconds=self.session_lasts)
        access = LoginAccess(segue, proxy=proxy, provider=self._provider(roles), session_lasts=lasts)
        return Application(Site(segue, access, settings))

    def _hosts(self, local: tuple[str, ...]) -> tuple[str, ...]:
        """The hosts for which it answers: without a login only this machine's, and that of the public URL."""
        public = () if not self.public_url else (self.public_url.partition("://")[2].partition("/")[0],)
        named = tuple(each.rpartition(":")[0] if each.rpartition(":")[2].isdigit() else each for each in public)
        return named if self.asks else (*local, *named)

    def _provider(self, roles: Any) -> Any:
        if self.oidc_issuer is None:
            return None
        if self.oidc_client_id is None:
            raise ConfigError("--oidc-issuer needs --oidc-client-id, the name that the provider gave to this server.")
        try:
            from segue.web.access.oidc import Provider  # noqa: PLC0415 - optional packages
        except ModuleNotFoundError as error:
            raise ConfigError(MISSING_OIDC) from error
        return Provider(
            self.oidc_issuer, client_id=self.oidc_client_id, client_secret=self.oidc_client_secret, roles=roles,
            groups_claim=self.oidc_groups_claim,
        )  # fmt: skip


@click.command(short_help="Serve the web pages and the HTTP API.")
@with_setup
@click.option("--host", default="127.0.0.1", show_default=True, help="The address on which to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes a free port.")
@click.option("--public-url", metavar="URL", help="The address that browsers use, if a proxy stands in between.")
@click.option("--login", is_flag=True, help="People log in with access tokens, also on this machine.")
@click.option(
    "--trust-proxy", multiple=True, metavar="NETWORK", help="Believe the headers of these addresses (repeatable)."
)
@click.option("--user-header", metavar="NAME", help="The header in which the proxy names the person.")
@click.option("--groups-header", metavar="NAME", help="The header in which the proxy lists their groups.")
@click.option("--roles", metavar="GROUP=ROLE,...", help="The roles of groups: viewer, operator or admin.")
@click.option(
    "--default-role", type=click.Choice(["none", "viewer", "operator", "admin"]), default="viewer", show_default=True,
    help="The role of people who are in none of these groups.",
)  # fmt: skip
@click.option("--oidc-issuer", metavar="URL", envvar="SEGUE_OIDC_ISSUER", help="Log in at this identity provider.")
@click.option("--oidc-client-id", metavar="ID", envvar="SEGUE_OIDC_CLIENT_ID", help="Its name for this server.")
@click.option(
    "--oidc-client-secret", envvar="SEGUE_OIDC_CLIENT_SECRET", show_envvar=True,
    help="The secret of this server; the environment is the better place for it.",
)  # fmt: skip
@click.option(
    "--oidc-groups-claim", metavar="NAME", default="groups", show_default=True, help="The claim that lists groups."
)
@duration_option("--session-lasts", help="How long a login lasts. [7d; 12h with an identity provider]")
@click.option("--allow-shell", is_flag=True, help="Admins may start and edit Segue's own tasks, as segue.shell.")
@click.option("--require-reason", is_flag=True, help="Ask for a reason for what cannot be undone.")
@click.option(
    "--live", type=click.Choice(["stream", "poll"]), default="stream", show_default=True,
    help="How pages hear of changes; poll is for proxies that hold streams back.",
)  # fmt: skip
@click.option("--ssl-certfile", type=click.Path(exists=True, dir_okay=False), help="Serve https with this certificate.")
@click.option("--ssl-keyfile", type=click.Path(exists=True, dir_okay=False), help="The key of the certificate.")
@with_log_options
@pass_setup
def command(setup: Setup, /, log_options: LogOptions, **arguments: Any) -> None:
    """Serve the web pages and the HTTP API, until it is stopped.

    On an address that only this machine reaches, everybody who can open it may do everything, unless --login is given.
    On any other address people have to log in.

    \b
    Example:
      segue web
      segue web --host 0.0.0.0 --login --public-url https://segue.example.org
    """
    chosen = WebArguments(**arguments)
    log_options.set_up(None)
    setup.import_apps()
    with setup.segue() as segue:
        app = chosen.application(segue)
        from segue.web.serve import listen, serve  # noqa: PLC0415 - optional packages

        with contextlib.suppress(ConfigError):  # without the extra there are no metrics
            count_in_this_process(segue)
            if metering.meter is not None:
                metering.meter.ask(LIVE_STREAMS, value=lambda: app.bells.open)
        listening = listen(chosen.host, chosen.port)
        is_tls = chosen.ssl_certfile is not None
        print_line(
            f"Segue is at {address_of(chosen.host, listening.getsockname()[1], is_tls=is_tls)} (Ctrl-C stops it)"
        )
        serve(app, listening, certificate=chosen.ssl_certfile, key=chosen.ssl_keyfile)


def with_web_option(function: AnyCallable) -> AnyCallable:
    """Give a command the option `--web`, as its argument `web`: a port, or None."""
    option: AnyCallable = click.option(
        "--web", type=click.IntRange(0, 65535), is_flag=False, flag_value=PORT, metavar="[PORT]",
        help=f"Serve the web pages beside it, for this machine only. [port: {PORT}]",
    )(function)  # fmt: skip
    return option


@contextlib.contextmanager
def pages_beside(segue: Segue, port: int | None, say: Callable[[str], object]) -> Iterator[None]:
    """Serve the pages in a thread, if a port is given, and say where. Raises ConfigError."""
    if port is None:
        yield
        return
    try:
        from segue.web.serve import served_locally  # noqa: PLC0415 - optional packages
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    with served_locally(segue, port=port) as address:
        say(f"web pages at {address}")
        yield


def address_of(host: str, port: int, *, is_tls: bool = False) -> str:
    """The address to type into a browser."""
    shown = f"[{host}]" if ":" in host else host
    return f"http{'s' if is_tls else ''}://{shown}:{port}/"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
