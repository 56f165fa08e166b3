"""`webhook("https://...")`: a POST with JSON as a step, delivered at least once.

The step's attempts all carry the same `Idempotency-Key`, so that a server that was told twice, because its answer was
lost, can see it. What an answer means: 2xx is done; 408, 409, 425, 429, 5xx, 3xx and no answer at all are tried again;
any other 4xx never will be.

Neither a secret nor a password need be in the database: the signature's secret is named by its environment variable,
and `${NAME}` in the URL or a header stands for one, of the worker that sends.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NoReturn, Unpack

from segue.authoring.compose import Signature
from segue.authoring.context import NoStepError, current
from segue.authoring.handle import Handle
from segue.authoring.options import Placement, StepOptions, placed
from segue.authoring.task import task
from segue.authoring.trace import current_trace
from segue.authoring.values import encode
from segue.clock import SystemClock
from segue.errors import Abort, ConfigError, DefinitionError, DeliveryError, Retry
from segue.model import Policy
from segue.version import __version__

PATIENT = Policy(retries=8, retry_delay=5.0, retry_factor=3.0, retry_max_delay=3600.0)
"""How often a delivery is tried unless the step says otherwise: for some two and a half hours."""

DEFAULT_TIMEOUT = 10.0
MOST_RETRY_AFTER_SECONDS = 3600.0
NOT_NOW = frozenset({408, 409, 425, 429})
SIGNATURE_HEADER = "Segue-Signature"

_NOTHING: Final = object()
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_NAME = re.compile(r"[A-Za-z_]\w*")
_HTTP = re.compile(r"https?://[^/?#]", re.IGNORECASE)
_SLACK_SECONDS = 5.0
_STEP_OPTIONS = frozenset(StepOptions.__annotations__)
_clock = SystemClock()


class WebhookOptions(StepOptions, total=False):
    """What `webhook(...)` takes besides the URL and the body."""

    headers: Mapping[str, str]
    secret_env: str


class Webhook:
    """What `segue.webhook` is: call it for a step, `webhook.s` for a signature."""

    def __call__(self, url: Any, body: Any = _NOTHING, /, **options: Unpack[WebhookOptions]) -> Any:
        """A POST of `body` as JSON: inside a workflow a step, elsewhere a signature.

        In a chain or hook, and for a subscription, the body is what the step is given, unless one is named here.
        `secret_env` names the environment variable with the secret of the signature: the header `Segue-Signature` is
        then `t=<unix time>,v1=<HMAC-SHA256 of "<t>.<body>" in hexadecimal>`. `timeout` is how many seconds the server
        may take (10); `retries`, `queue`, `name` and so on are those of any step (8 retries over some two and a half
        hours when nothing is said). `${NAME}` in the URL and in headers is filled from the worker's environment.

        The result is `{"status": 200}`.

        Example::

            segue.webhook("https://example.org/hooks/orders", {"order": order, "total": total})
            workflow(on_failure=segue.webhook.s("https://example.org/hooks/alerts", secret_env="HOOK_SECRET"))
        """
        made = _signature(url, body, options, immutable=False)
        return made if current_trace.get() is None else made()

    def s(self, url: Any, body: Any = _NOTHING, /, **options: Unpack[WebhookOptions]) -> Signature:
        """The same as a signature, inside of workflows too; it sends the previous result when no body is named."""
        return _signature(url, body, options, immutable=False)

    def si(self, url: Any, body: Any = _NOTHING, /, **options: Unpack[WebhookOptions]) -> Signature:
        """The same, ignoring the previous result."""
        return _signature(url, body, options, immutable=True)


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
) -> dict[str, int]:
    """POST what it was given and judge the answer."""
    from segue.authoring.posting import post, signature  # noqa: PLC0415 - urllib and OpenSSL take long to load

    data = encode(previous[0] if previous else body).encode()
    sent = {"Content-Type": "application/json", "User-Agent": f"segue/{__version__}"}
    with suppress(NoStepError):
        sent["Idempotency-Key"] = current().idempotency_key
    if secret_env is not None:
        sent[SIGNATURE_HEADER] = signature(variable(secret_env), data, int(_clock.now().timestamp()))
    sent |= {name: filled(value) for name, value in (headers or {}).items()}
    place = place_of(url)
    try:
        answer = post(filled(url), data, sent, timeout=timeout)
    except DeliveryError as error:
        raise DeliveryError(f"{place} did not answer: {error}") from error.__cause__
    if not 200 <= answer.status < 300:
        _refuse(f"{place} answered {answer.status}: {answer.text or '(nothing)'}", answer.status, answer.headers)
    return {"status": answer.status}


def filled(text: str) -> str:
    """The text with each `${NAME}` replaced by that environment variable; raises ConfigError when it is not set."""
    return _VARIABLE.sub(lambda found: variable(found[1]), text)


def variable(name: str) -> str:
    """An environment variable of this process; raises ConfigError when it is not set."""
    value = os.environ.get(name)
    if not value:
        raise ConfigError(f"The environment variable {name} is not set where this step ran. Set it for the workers.")
    return value


def place_of(url: str) -> str:
    """A URL as it may be shown: without what may be secret in it."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - takes milliseconds

    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _signature(url: Any, body: Any, given: WebhookOptions, *, immutable: bool) -> Signature:
    label = "webhook(...)"
    options: dict[str, Any] = {"timeout": DEFAULT_TIMEOUT, **given}
    headers, secret_env = options.pop("headers", None), options.pop("secret_env", None)
    _check(label, url, headers, secret_env)
    placement = placed(Placement(name="webhook", policy=PATIENT), options, of=label)
    timeout = placement.policy.timeout or DEFAULT_TIMEOUT
    placement = placed(placement, {"timeout": timeout + _SLACK_SECONDS}, of=label)  # it may answer drop by drop
    told = {
        "timeout": None if timeout == DEFAULT_TIMEOUT else timeout,
        "headers": dict(headers) if headers else None,
        "secret_env": secret_env,
    }
    kwargs = {"url": url, **{key: value for key, value in told.items() if value is not None}}
    if body is not _NOTHING:
        kwargs["body"] = body
    return Signature(send_webhook, (), kwargs, placement, immutable or body is not _NOTHING)


def _check(label: str, url: Any, headers: Any, secret_env: Any) -> None:
    if not isinstance(url, Handle) and not (isinstance(url, str) and _HTTP.match(url)):
        raise DefinitionError(f"{label} was given {url!r}; give a URL that begins with https:// or http://")
    if headers is not None and not isinstance(headers, Mapping):
        raise DefinitionError(f"{label}: headers={headers!r} is not a mapping; write headers={{'X-Shop': 'north'}}")
    if secret_env is not None and not (isinstance(secret_env, str) and _NAME.fullmatch(secret_env)):
        raise DefinitionError(
            f"{label}: secret_env must be the name of the environment variable that holds the secret, as in "
            "secret_env='HOOK_SECRET'; the secret itself would be written into the database"
        )


def _refuse(said: str, status: int, headers: Mapping[str, str]) -> NoReturn:
    if 400 <= status < 500 and status not in NOT_NOW:
        raise Abort(said)
    after = headers.get("Retry-After", "")
    if after.isdigit():
        raise Retry(said, after=min(float(after), MOST_RETRY_AFTER_SECONDS))
    raise DeliveryError(said)
