"""`notify("mailto://...")`: mail, chat, pager and some hundred other services, as a step, through Apprise.

Apprise is optional (`pip install 'segue[notify]'`), and is imported only where a notification is sent.
"""

from __future__ import annotations

import re
from typing import Any, Unpack

from segue.authoring.compose import Signature
from segue.authoring.elsewhere import OF_COMMANDS, Unfamiliar
from segue.authoring.handle import Handle
from segue.authoring.options import Placement, StepOptions, placed
from segue.authoring.secrets import fill, marks
from segue.authoring.task import task
from segue.authoring.trace import current_trace
from segue.authoring.values import encode
from segue.authoring.webhook import PATIENT, URL
from segue.config import install_command
from segue.errors import Abort, ConfigError, DefinitionError, DeliveryError

SEND_SECONDS = 60.0
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


class Notify(Unfamiliar):
    """The type of `segue.notify`: call it for a step, `notify.s` for a signature."""

    _elsewhere = OF_COMMANDS

    def __call__(
        self, url: Any, title: Any = None, body: Any = None, /, **options: Unpack[StepOptions]
    ) -> Any:  # fmt: skip
        """Send a message to the target of an Apprise URL: inside a workflow a step, elsewhere a signature.

        Without `title` and `body` the message describes the value that the step receives: the outcome of the run in a
        hook, the event for a subscription, the previous result in a chain. `${SEGUE_SECRET_NAME}` in the URL is filled
        from the worker's environment, if the calling code wrote it, so that a password need not be in the database. By
        default it is tried 9 times over some two and a half hours, and it may arrive twice.

        Example::

            segue.notify("mailto://me:${SEGUE_SECRET_MAIL}@example.org", "Orders", f"{day} is done")
            workflow(on_failure=segue.notify.s("slack://${SEGUE_SECRET_SLACK}/#alerts"))
        """
        made = _signature(url, title, body, options, immutable=False)
        return made if current_trace.get() is None else made()

    def s(self, url: Any, title: Any = None, body: Any = None, /, **options: Unpack[StepOptions]) -> Signature:
        """The same as a signature, also inside workflows; it describes the previous result."""
        return _signature(url, title, body, options, immutable=False)

    def si(self, url: Any, title: Any = None, body: Any = None, /, **options: Unpack[StepOptions]) -> Signature:
        """The same, ignoring the previous result."""
        return _signature(url, title, body, options, immutable=True)


Notify.__doc__ = Notify.__call__.__doc__  # what help(segue.notify) shows
notify = Notify()
"""A message as a step; see `Notify.__call__`."""


@task(name="segue.notify")
def send_notification(
    *previous: Any, url: str, title: str | None = None, body: str | None = None,
    secrets: dict[str, list[str]] | None = None,
) -> None:  # fmt: skip
    """Pass the message to Apprise. Raises DeliveryError if the service did not accept it."""
    try:
        from apprise import Apprise  # noqa: PLC0415 - apprise is optional
    except ImportError as error:
        raise ConfigError(
            f"notify(...) needs Apprise, which cannot be imported where this step ran ({error}). "
            f"Run: {install_command('notify')}"
        ) from error
    made_title, made_body = told(previous[0]) if previous else ("segue", "")
    scheme = url.partition("://")[0]
    full = fill(f"the {scheme}:// URL", url, (secrets or {}).get(URL, ()))
    if not _URL.fullmatch(full):
        raise DeliveryError(f"the {scheme}:// URL contains an invalid character, such as a blank or the end of a line")
    service = Apprise()
    if not service.add(full):
        raise Abort(f"Apprise does not understand the {scheme}:// URL; see its list of services")
    if not service.notify(title=title if title is not None else made_title, body=body or made_body or " "):
        raise DeliveryError(f"the service behind {scheme}:// did not accept the message; see the output of the step")


def told(given: Any) -> tuple[str, str]:
    """Title and body for the value that a step received: an event, the outcome of a run, or any other value."""
    if not isinstance(given, dict) or "run_id" not in given or not (given.get("kind") or given.get("status")):
        return "segue", given if isinstance(given, str) else encode(given)
    lines = []
    error = given.get("error")
    if error:
        where = error.get("step") or given.get("name")
        lines.append(
            f"{where}: {error['type']}: {error['message']}" if where else f"{error['type']}: {error['message']}"
        )
    elif given.get("name"):
        lines.append(f"step {given['name']}")
    lines += [f"{key}: {value}" for key, value in (given.get("detail") or {}).items() if value is not None]
    if given.get("key"):
        lines.append(f"key {given['key']}")
    lines.append(f"run {given['run_id']}")
    what = given["kind"] if given.get("kind") else f"run.{given['status']}"
    return f"{given.get('workflow') or 'segue'}: {what}", "\n".join(lines)


def _signature(url: Any, title: Any, body: Any, options: StepOptions, *, immutable: bool) -> Signature:
    label = "notify(...)"
    if not isinstance(url, Handle) and not (isinstance(url, str) and _URL.fullmatch(url)):
        raise DefinitionError(
            f"{label} was given {url if isinstance(url, str) else type(url).__name__!r}; "
            "give an Apprise URL, as in 'mailto://user:pass@example.org'"
        )
    policy = placed(Placement(name="notify", policy=PATIENT), {"timeout": SEND_SECONDS}, of=label)
    placement = placed(policy, options, of=label)
    marked = marks(f"{label}: the url", url) if isinstance(url, str) else []
    kwargs: dict[str, Any] = {"url": str(url) if isinstance(url, str) else url} | (
        {"secrets": {URL: marked}} if marked else {}
    )
    kwargs |= {key: value for key, value in (("title", title), ("body", body)) if value is not None}
    return Signature(send_notification, (), kwargs, placement, immutable)
