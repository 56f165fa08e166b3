"""`webhook("https://...")`: a POST with JSON as a step, delivered at least once.

All attempts of the step carry the same `Idempotency-Key`, so that a server can recognise a repeated delivery whose
first answer was lost. The answer decides: 2xx is done; 408, 409, 425, 429, 5xx, 3xx and no answer at all are tried
again; any other 4xx is not tried again.

Neither a secret nor a password need be in the database: the secret of the signature is given by the name of its
environment variable, and `${SEGUE_SECRET_NAME}` in the URL or a header stands for a secret in the environment of the
worker that sends; see `secrets`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NoReturn, Unpack

from segue.authoring.compose import Signature
from segue.authoring.context import NoStepError, current
from segue.authoring.elsewhere import OF_COMMANDS, Unfamiliar
from segue.authoring.handle import Handle
from segue.authoring.options import Placement, StepOptions, placed
from segue.authoring.run_outcome import without_arguments
from segue.authoring.secrets import fill, marks, variable
from segue.authoring.task import task
from segue.authoring.trace import current_trace
from segue.authoring.values import encode
from segue.clock import SystemClock
from segue.errors import Abort, DefinitionError, DeliveryError, Retry
from segue.model import Policy
from segue.printable import shortened
from segue.version import __version__

PATIENT = Policy(retries=8, retry_delay=5.0, retry_factor=3.0, retry_max_delay=3600.0)
"""How often a delivery is retried unless the step sets it: for some two and a half hours."""

DEFAULT_TIMEOUT = 10.0
MOST_PLACE = 300  # characters of a URL that are shown
NOT_NOW = frozenset({408, 409, 425, 429})
URL, HEADER = "url", "header "  # the keys of `secrets`: the URL, and each header by its name
SIGNATURE_HEADER = "Segue-Signature"

_NOTHING: Final = object()
_NAME = re.compile(r"[A-Za-z_]\w*")
_HTTP = re.compile(r"https?://[^/?#]", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})
_SLACK_SECONDS = 5.0
_STEP_OPTIONS = frozenset(StepOptions.__annotations__)
_clock = SystemClock()


class WebhookOptions(StepOptions, total=False):
    """The options of `webhook(...)` besides the URL and the body."""

    headers: Mapping[str, str]
    secret_env: str
    public_only: bool


class Webhook(Unfamiliar):
    """The type of `segue.webhook`: call it for a step, `webhook.s` for a signature."""

    _elsewhere = OF_COMMANDS

    def __call__(self, url: Any, body: Any = _NOTHING, /, **options: Unpack[WebhookOptions]) -> Any:
        """A POST of `body` as JSON: inside a workflow a step, elsewhere a signature.

        In a chain or hook, and for a subscription, the body is the value that the step receives, unless it is given
        here. `secret_env` names the environment variable with the secret of the signature: the header `Segue-Signature`
        is then `t=<unix time>,v1=<HMAC-SHA256 of "<t>.<body>" in hexadecimal>`. `timeout` is how many seconds the
        server may take (10); `retries`, `queue`, `name` and so on are options of any step (by default 8 retries over
        some two and a half hours). With `public_only`, it does not go to private networks. `${SEGUE_SECRET_NAME}` in
        the URL and in headers is filled from the worker's environment, if the calling code wrote it.

        The result is `{"status": 200}`.

        Example::

            segue.webhook("https://example.org/hooks/orders", {"order": order, "total": total})
            workflow(on_failure=segue.webhook.s("https://example.org/hooks/alerts", secret_env="HOOK_SECRET"))
        """
        made = _signature(url, body, options, immutable=False)
        return made if current_trace.get() is None else made()

    def s(self, url: Any, body: Any = _NOTHING, /, **options: Unpack[WebhookOptions]) -> Signature:
        """The same as a signature, also inside workflows; without a body it sends the previous result."""
        return _signature(url, body, options, immutable=False)

    def si(self, url: Any, body: Any = _NOTHING, /, **options: Unpack[WebhookOptions]) -> Signature:
        """The same, ignoring the previous result."""
        return _signature(url, body, options, immutable=True)


Webhook.__doc__ = Webhook.__call__.__doc__  # what help(segue.webhook) shows
webhook = Webhook()
"""A POST as a step; see `Webhook.__call__`."""


@task(name="segue.webhook")
def send_webhook(
    *previous: Any,
    url: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    secret_env: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    secrets: dict[str, list[str]] | None = None,
    public_only: bool = False,
) -> dict[str, int]:
    """POST the body and act on the answer."""
    from segue.authoring.posting import post, retry_after, signature  # noqa: PLC0415 - urllib and OpenSSL take long to load

    data = encode(without_arguments(previous[0]) if previous else body).encode()
    sent = {"Content-Type": "application/json", "User-Agent": f"segue/{__version__}"}
    with suppress(NoStepError):
        sent["Idempotency-Key"] = current().idempotency_key
    if secret_env is not None:
        sent[SIGNATURE_HEADER] = signature(variable(secret_env), data, int(_clock.now().timestamp()))
    marked = secrets or {}
    sent |= {
        name: fill(f"the header {name}", value, marked.get(f"{HEADER}{name}", ()))
        for name, value in (headers or {}).items()
    }
    place = place_of(url)
    full = fill(f"the URL {place}", url, marked.get(URL, ()))
    try:
        answer = post(full, data, sent, timeout=timeout, public_only=public_only)
    except DeliveryError as error:
        raise DeliveryError(f"{place} did not answer: {error}") from error.__cause__
    if not 200 <= answer.status < 300:
        said = f"{place} answered {answer.status}: {answer.text or '(nothing)'}"
        _refuse(said, answer.status, retry_after(answer.headers, _clock.now()))
    return {"status": answer.status}


def place_of(url: str) -> str:
    """A URL without its secret parts, to be shown. Raises Abort if it is not the URL of a web server."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - takes milliseconds

    with suppress(ValueError):
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        if parts.scheme.lower() in ("http", "https") and host:
            return shortened(f"{parts.scheme}://{host}", MOST_PLACE)
    raise Abort(f"nothing was sent: {shortened(url.partition('?')[0], 40)!r} is not the URL of a web server; "
                "give one that begins with https:// or http:// and names a host")  # fmt: skip


def _signature(url: Any, body: Any, given: WebhookOptions, *, immutable: bool) -> Signature:
    label = "webhook(...)"
    options: dict[str, Any] = {"timeout": DEFAULT_TIMEOUT, **given}
    headers, secret_env = options.pop("headers", None), options.pop("secret_env", None)
    public_only = bool(options.pop("public_only", False))
    _check(label, url, headers, secret_env)
    placement = placed(Placement(name="webhook", policy=PATIENT), options, of=label)
    timeout = placement.policy.timeout or DEFAULT_TIMEOUT
    placement = placed(placement, {"timeout": timeout + _SLACK_SECONDS}, of=label)
    told = {
        "timeout": None if timeout == DEFAULT_TIMEOUT else timeout,
        "headers": {name: _plain(value) for name, value in headers.items()} if headers else None,
        "secret_env": secret_env,
        "secrets": _marked(label, url, headers or {}) or None,
        "public_only": public_only or None,
    }
    kwargs = {"url": _plain(url), **{key: value for key, value in told.items() if value is not None}}
    if body is not _NOTHING:
        kwargs["body"] = body
    return Signature(send_webhook, (), kwargs, placement, immutable or body is not _NOTHING)


def _check(label: str, url: Any, headers: Any, secret_env: Any) -> None:
    if not isinstance(url, Handle) and not (isinstance(url, str) and _HTTP.match(url)):
        raise DefinitionError(
            f"{label} was given {url if isinstance(url, str) else type(url).__name__!r}; "
            "give a URL that begins with https:// or http://"
        )
    if headers is not None and not isinstance(headers, Mapping):
        raise DefinitionError(f"{label}: headers={headers!r} is not a mapping; write headers={{'X-Shop': 'north'}}")
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name) or name.lower() in _FRAMING:
            raise DefinitionError(
                f"{label}: {name!r} is not a header that may be set; write headers={{'X-Shop': 'north'}}"
            )
        if not isinstance(value, Handle) and not (isinstance(value, str) and _HEADER_VALUE.fullmatch(value)):
            raise DefinitionError(
                f"{label}: the header {name} cannot hold {value!r}; give a text of one line, in characters of Latin-1"
            )
    if secret_env is not None and not (isinstance(secret_env, str) and _NAME.fullmatch(secret_env)):
        raise DefinitionError(
            f"{label}: secret_env must be the name of the environment variable that contains the secret, as in "
            "secret_env='HOOK_SECRET'; the secret itself would be written into the database"
        )


def _plain(text: Any) -> Any:
    return str(text) if isinstance(text, str) else text  # not one of its subclasses


def _marked(label: str, url: Any, headers: Mapping[str, Any]) -> dict[str, list[str]]:
    """The variables that may be filled in, for each text in which the calling code wrote them."""
    texts = {URL: url} | {f"{HEADER}{name}": value for name, value in headers.items()}
    found = {
        where: marks(f"{label}: the {where}", text) for where, text in texts.items() if isinstance(text, str)
    }  # the other texts are results of other steps
    return {where: names for where, names in found.items() if names}


def _refuse(said: str, status: int, after: float | None) -> NoReturn:
    if 400 <= status < 500 and status not in NOT_NOW:
        raise Abort(said)
    if after is not None:
        raise Retry(said, after=after)
    raise DeliveryError(said)
