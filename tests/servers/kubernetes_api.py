"""The API of the Kubernetes stand-in, as a program: ``python -m tests.servers.kubernetes_api PORT [HISTORY]``.

Discovery, Jobs, pods, logs, events, secrets; create, get, list with pages, watch, delete. POST /_faults changes what is
wrong with the cluster. There is one machine, and neither accounts nor admission.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from tests.servers.kubernetes_controller import Controller
from tests.servers.kubernetes_store import AnswerError, Object, Store, matches

KINDS = {
    "jobs": ("batch/v1", "Job"), "pods": ("v1", "Pod"), "events": ("v1", "Event"), "namespaces": ("v1", "Namespace"),
    "secrets": ("v1", "Secret"),
}  # fmt: skip
PATH = re.compile(
    r"/(?:api/v1|apis/batch/v1)(?:/namespaces/([^/]+))?/(jobs|pods|events|namespaces|secrets)(?:/([^/]+))?(/log|/status)?"
)
SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
BOOKMARK_SECONDS = 1.0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    controller: Controller
    called: ClassVar[set[str]] = set()  # as roles name it: "list pods"

    def log_message(self, *_words: object) -> None:
        """Nothing is logged."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, verb: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        at = urlsplit(self.path)
        faults, is_mine = self.controller.faults, at.path == "/_faults"
        try:
            if faults.refuse and not is_mine and faults.only in ("", verb):
                faults.refuse -= 1
                headers = {"Retry-After": "1"} if faults.code in (429, 503) else {}
                raise AnswerError(faults.code, "Refused", f"the stand-in was told to answer {faults.code}", headers)
            done = (
                (200, self._fault(body))
                if is_mine
                else self._route(verb, at.path.rstrip("/"), dict(parse_qsl(at.query)), body)
            )
            if verb == "POST" and faults.lose and not is_mine:
                faults.lose -= 1
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            elif done is not None:
                self._send(*done)
        except AnswerError as failure:
            self._send(failure.code, failure.status(), failure.headers)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _route(self, verb: str, path: str, query: dict[str, str], body: Object) -> tuple[int, Any] | None:
        if path in DISCOVERY:
            return 200, DISCOVERY[path]
        found = PATH.fullmatch(path)
        if found is None:
            raise AnswerError(404, "NotFound", "the server could not find the requested resource")
        namespace, kind, name = found[1] or "", found[2], found[3]
        watches = query.get("watch") in ("1", "true")
        word = {"POST": "create", "DELETE": "delete"}.get(verb, "get" if name else "watch" if watches else "list")
        self.called.add(f"{word} {kind}{found[4] or ''}")
        if found[4] == "/log":
            return 200, self._log(namespace, name, query)
        if verb == "POST":
            return 201, self._create(kind, namespace, body)
        if name is None:
            if self.controller.faults.no_lists:
                raise AnswerError(403, "Forbidden", f'{kind} is forbidden: User "x" cannot list resource "{kind}"')
            return self._watch(kind, namespace, query) if watches else self._list(kind, namespace, query)
        obj = self.controller.store.get(kind, namespace, name)
        if obj is None:
            raise AnswerError(404, "NotFound", f'{kind} "{name}" not found')
        if verb == "DELETE":
            self._delete(kind, namespace, name, {**query, **body})
            return 200, {**SUCCESS, "details": {"name": name, "kind": kind}}
        return 200, obj

    def _create(self, kind: str, namespace: str, body: Object) -> Object:
        if kind == "jobs":
            return self.controller.create(namespace, body)
        if kind != "secrets":
            raise AnswerError(405, "MethodNotAllowed", f"the stand-in does not make {kind}")
        body.setdefault("metadata", {})["namespace"] = namespace
        plain = {key: base64.b64decode(value).decode() for key, value in (body.get("data") or {}).items()}
        body["stringData"] = {**plain, **(body.get("stringData") or {})}
        return self.controller.store.add("secrets", body)

    def _delete(self, kind: str, namespace: str, name: str, options: dict[str, Any]) -> None:
        if kind == "jobs":
            self.controller.delete_job(namespace, name, options.get("propagationPolicy", "Background"))
        elif kind == "pods":
            grace = options.get("gracePeriodSeconds")
            self.controller.delete_pod(namespace, name, None if grace is None else float(grace))
        else:
            self.controller.store.remove(kind, namespace, name)

    def _list(self, kind: str, namespace: str, query: dict[str, str]) -> tuple[int, Object]:
        store = self.controller.store
        with store.changed:
            items = store.select(kind, namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))
            meta: Object = {"resourceVersion": str(store.version)}
        if "continue" in query:
            version, start = json.loads(base64.b64decode(query["continue"]))
            if version < store.oldest:
                raise AnswerError(410, "Expired", "The provided continue parameter is too old")
        else:
            version, start = store.version, 0
        if (end := start + int(query.get("limit") or len(items) or 1)) < len(items):
            meta["continue"] = base64.b64encode(json.dumps([version, end]).encode()).decode()
            meta["remainingItemCount"] = len(items) - end
        version_of, name = KINDS[kind]
        return 200, {"kind": f"{name}List", "apiVersion": version_of, "metadata": meta, "items": items[start:end]}

    def _watch(self, kind: str, namespace: str, query: dict[str, str]) -> None:
        store, labels, fields = self.controller.store, query.get("labelSelector", ""), query.get("fieldSelector", "")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        at = int(query.get("resourceVersion") or 0)
        if at == 0:
            with store.changed:
                items, at = store.select(kind, namespace, labels, fields), store.version
            for item in items:
                self._line("ADDED", item)
        ends = time.monotonic() + float(query.get("timeoutSeconds", 300))
        marked = time.monotonic()
        try:
            while (now := time.monotonic()) < ends:
                for change in store.since(at, min(0.25, ends - now)):
                    at = change.version
                    is_it = change.kind == kind and namespace in ("", change.object["metadata"].get("namespace"))
                    if is_it and matches(change.object, labels, fields):
                        self._line(change.type, change.object)
                if query.get("allowWatchBookmarks") == "true" and now > marked + BOOKMARK_SECONDS:
                    marked = now
                    meta = {"resourceVersion": str(at), "creationTimestamp": None}
                    self._line("BOOKMARK", {"kind": KINDS[kind][1], "apiVersion": KINDS[kind][0], "metadata": meta})
        except AnswerError as failure:
            self._line("ERROR", failure.status())
        self.wfile.write(b"0\r\n\r\n")

    def _line(self, kind: str, obj: Object) -> None:
        line = json.dumps({"type": kind, "object": obj}).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()

    def _log(self, namespace: str, name: str, query: dict[str, str]) -> bytes:
        pod = self.controller.store.get("pods", namespace, name)
        if pod is None:
            raise AnswerError(404, "NotFound", f'pods "{name}" not found')
        if self.controller.faults.node_is_away:
            raise AnswerError(500, "InternalError", 'Get "https://node-1:10250/containerLogs": dial tcp: i/o timeout')
        container = self.controller.containers.get((namespace, name))
        if container is None:
            raise AnswerError(
                400, "BadRequest", f'container "main" in pod "{name}" is waiting to start: ContainerCreating'
            )
        lines, limit = query.get("tailLines"), query.get("limitBytes")
        return container.read(None if lines is None else int(lines), None if limit is None else int(limit))

    def _fault(self, body: Object) -> Object:
        controller, do = self.controller, body.pop("do", None)
        if do == "called":
            return {"called": sorted(self.called)}
        if do == "disrupt":
            controller.disrupt(body["namespace"], body["name"], body["reason"])
        elif do == "compact":
            controller.store.compact()
        elif do in ("admit", "suspend"):
            for pod in body.get("pods", []):
                threading.Thread(target=controller.delete_pod, args=(body["namespace"], pod, None), daemon=True).start()
            controller.store.change(
                "jobs", body["namespace"], body["name"], lambda job: job["spec"].update(suspend=do == "suspend")
            )
        else:
            controller.faults = dataclasses.replace(controller.faults, **body)
        return dataclasses.asdict(controller.faults)

    def _send(self, code: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)


def _resource(name: str, kind: str, *verbs: str) -> Object:
    return {"name": name, "singularName": kind.lower(), "namespaced": name != "namespaces", "kind": kind,
            "verbs": list(verbs or ("create", "delete", "get", "list", "watch"))}  # fmt: skip


_BATCH = {"groupVersion": "batch/v1", "version": "v1"}
_GROUP = {"name": "batch", "versions": [_BATCH], "preferredVersion": _BATCH}
DISCOVERY: dict[str, Object] = {
    "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0-standin", "platform": "linux/amd64"},
    "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_GROUP]},
    "/apis/batch": {"kind": "APIGroup", "apiVersion": "v1", **_GROUP},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [
        _resource("pods", "Pod"), _resource("events", "Event"), _resource("namespaces", "Namespace"),
        _resource("secrets", "Secret"), _resource("pods/log", "Pod", "get"),
    ]},
    "/apis/batch/v1": {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "batch/v1",
                       "resources": [_resource("jobs", "Job")]},
}  # fmt: skip


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main(port: int, history: int = 10_000) -> None:
    store = Store(history)
    for name in ("default", "jobs", "others"):
        store.add(
            "namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "status": {"phase": "Active"}},
        )
    Handler.controller = Controller(store)

    def end(_number: int, _frame: object) -> None:
        Handler.controller.end()
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    Server(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(*[int(word) for word in sys.argv[1:]])
