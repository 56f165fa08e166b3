"""The web pages inside a Django project, with the project's own login.

In `asgi.py` or `wsgi.py`::

    from segue.contrib.django.web import with_segue

    application = with_segue(get_asgi_application())  # or get_wsgi_application()

The pages are at /segue/. Who is staff sees them; who also has the permission `segue.operate_run` operates; a
superuser administers.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import close_old_connections
from django.http import HttpRequest
from django.shortcuts import resolve_url

from segue.contrib.django.project import DjangoSegue
from segue.contrib.django.settings import project_settings
from segue.errors import ConfigError
from segue.web import Identity, Role, create_app

OPERATES = "segue.operate_run"
"""The permission of an operator."""


def identify(request: Any) -> Identity | None:
    """The user of Django who makes a request, if they are staff."""
    key = request.cookies.get(settings.SESSION_COOKIE_NAME)
    if not key:
        return None
    close_old_connections()
    try:
        asked = HttpRequest()
        asked.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
        user = get_user(asked)
        if not (user.is_authenticated and user.is_active and user.is_staff):
            return None
        return Identity(user.get_username(), _role(user))
    finally:
        close_old_connections()


def with_segue(application: Any, *, at: str = "/segue", identify: Callable[[Any], Identity | None] = identify) -> Any:
    """An ASGI or WSGI application of Django, with the web pages at a path.

    `identify` says who makes a request, if the rule of this module does not fit. Raises ConfigError.
    """
    if not at.startswith("/") or at.rstrip("/") == "":
        raise ConfigError(f"at={at!r} is not a path, as /segue.")
    path = at.rstrip("/")
    login = resolve_url(settings.LOGIN_URL)
    is_wsgi = isinstance(application, WSGIHandler)
    if not is_wsgi and not isinstance(application, ASGIHandler):
        raise ConfigError("with_segue takes what get_asgi_application() or get_wsgi_application() returned.")
    pages = create_app(
        DjangoSegue(project_settings()), identify=identify, login=login, live="poll" if is_wsgi else "stream"
    )
    return _beside_wsgi(application, pages, path) if is_wsgi else _beside_asgi(application, pages, path)


def _beside_asgi(django: Any, pages: Any, path: str) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and _is_below(scope["path"], path):
            await pages({**scope, "root_path": scope.get("root_path", "") + path}, receive, send)
        else:
            await django(scope, receive, send)

    return application


def _beside_wsgi(django: Any, pages: Any, path: str) -> Any:
    try:
        from a2wsgi import ASGIMiddleware  # noqa: PLC0415 - an optional package
    except ModuleNotFoundError as error:
        raise ConfigError("Under WSGI the web pages need a2wsgi. Install it: pip install a2wsgi") from error
    wrapped = ASGIMiddleware(pages)

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        asked = environ.get("PATH_INFO", "")
        if not _is_below(asked, path):
            return django(environ, start_response)
        root = environ.get("SCRIPT_NAME", "")
        below: Any = {**environ, "SCRIPT_NAME": root + path, "PATH_INFO": asked[len(path) :] or "/"}
        return wrapped(below, start_response)

    return application


def _is_below(asked: str, path: str) -> bool:
    return asked == path or asked.startswith(path + "/")


def _role(user: Any) -> Role:
    if user.is_superuser:
        return Role.ADMIN
    return Role.OPERATOR if user.has_perm(OPERATES) else Role.VIEWER
