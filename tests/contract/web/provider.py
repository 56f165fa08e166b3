"""An identity provider for tests: a real HTTP server that signs tokens, and can be made to sign wrong ones."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "segue-test", "s3cret"


class IdentityProvider:
    """Serves discovery, keys and tokens at `issuer`. The attributes say what it puts into the next token."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        self.published = [self.key]
        self.claims: dict[str, Any] = {}  # instead of the right ones; None removes a claim
        self.header: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.token: str | None = None  # instead of a signed one
        self.is_away = False
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner._get(self)

            def do_POST(self) -> None:
                owner._post(self)

            def log_message(self, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def authorize(self, address: str) -> str:
        """What the provider does when the browser comes with this address: a code for the person who logs in."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        return code

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        if request.path == "/.well-known/openid-configuration":
            self._answer(
                request,
                {
                    "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
                },
            )  # fmt: skip
        else:
            self._answer(request, {"keys": [key.as_dict(private=False) for key in self.published]})

    def _post(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers["content-length"])
        form = {name: values[0] for name, values in parse_qs(request.rfile.read(length).decode()).items()}
        query = self.codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if query is None or query["code_challenge"] != challenge.decode() or form["client_secret"] != SECRET:
            self._answer(request, {"error": "invalid_grant"}, 400)
            return
        assert query["redirect_uri"] == form["redirect_uri"]
        now = int(time.time())
        right = {
            "iss": self.issuer, "aud": CLIENT, "sub": "u-17", "iat": now, "exp": now + 300, "nonce": query["nonce"],
            "preferred_username": "ann", "groups": ["ops"],
        }  # fmt: skip
        claims = {name: value for name, value in {**right, **self.claims}.items() if value is not None}
        header = {"alg": "RS256", "kid": self.key.kid, **self.header}
        self._answer(request, {"id_token": self.token or jwt.encode(header, claims, self.key), "token_type": "Bearer"})

    def _answer(self, request: BaseHTTPRequestHandler, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        request.send_response(503 if self.is_away else status)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
