"""`create_app`: the application with Taskflow's paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segue.client import Segue
from segue.compat.refusing import not_translated
from segue.compat.taskflow.database import opened
from segue.compat.taskflow.project import Taskflow
from segue.errors import ConfigError

if TYPE_CHECKING:
    from segue.web.foreign import ForeignApi

MISSING = 'The REST interface needs further packages. Install them: pip install "segue[web]"'


def create_app(
    taskflow: Taskflow, connection_string: str | None = None, secret_key: str | None = None, *,
    segue: Segue | None = None, identify: Any = None, access: Any = None, allowed_hosts: tuple[str, ...] = (),
) -> ForeignApi:  # fmt: skip
    """An ASGI application with the paths of Taskflow, below /v1.

    `identify` says who makes a request, as for `segue.web.create_app`: viewers may read, operators may start and end
    instances and switch schedules. Without it, and without `access`, every request is refused.

    Example::

        app = create_app(taskflow, identify=lambda request: Identity("ann", "operator"))
    """
    try:
        from segue.compat.taskflow.rest.resources import endpoints  # noqa: PLC0415 - optional packages
        from segue.web.access.host import HostAccess, NoAccess  # noqa: PLC0415
        from segue.web.foreign import ForeignApi  # noqa: PLC0415
        from segue.web.site import Settings, Site  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    if secret_key is not None:
        not_translated("create_app(secret_key=...)", "People have access tokens of Segue: segue tokens create NAME.")
    chosen = access or (NoAccess() if identify is None else HostAccess(identify))
    site = Site(segue or opened(connection_string), chosen, Settings(allowed_hosts=allowed_hosts))
    return ForeignApi(site, endpoints(taskflow))


def serve_app(taskflow: Taskflow, segue: Segue, host: str, port: int) -> None:
    """Serve it until it is stopped. Other machines need access tokens; programs of this one do not."""
    try:
        from segue.web.access.combined import LoginAccess  # noqa: PLC0415 - optional packages
        from segue.web.access.local import LOCAL_HOSTS, LocalAccess  # noqa: PLC0415
        from segue.web.serve import listen, serve  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    is_local = host in ("127.0.0.1", "::1", "localhost")
    app = create_app(
        taskflow, segue=segue, access=LocalAccess() if is_local else LoginAccess(segue),
        allowed_hosts=LOCAL_HOSTS if is_local else (),
    )  # fmt: skip
    serve(app, listen(host, port))
