"""The files of deploy/ are what their platforms expect, and their commands run, without containers, on PostgreSQL."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser
from lightkube import codecs

from segue import Segue
from segue.scheduler.leader import leader_info
from tests.crash.worker_processes import eventually
from tests.docs.test_commands import options_of, resolve
from tests.servers.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SEGUE = str(Path(sys.executable).with_name("segue"))
MANIFESTS = sorted(DEPLOY.glob("kubernetes/*.yaml"))
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
STOP_SECONDS = 45


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def manifests() -> list[dict[str, Any]]:
    found = [document for file in MANIFESTS for document in yaml.safe_load_all(file.read_text())]
    return [document for document in found if document["kind"] != "Kustomization"]


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return pod


def unit(file: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(file)
    return {section: dict(parser[section]) for section in parser.sections()}


def dockerfile() -> DockerfileParser:
    return DockerfileParser(fileobj=(DEPLOY / "Dockerfile").open("rb+"))


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of Segue in the files, and where it stands."""
    parser = dockerfile()
    yield "Dockerfile", json.loads(parser.cmd)
    for name, service in compose()["services"].items():
        if "command" in service:
            yield f"compose.yaml {name}", service["command"]
    for manifest in manifests():
        if "template" in manifest.get("spec", {}):
            yield manifest["metadata"]["name"], pod_of(manifest)["containers"][0]["command"]
    for file in UNITS:
        yield file.name, ["segue", *shlex.split(unit(file)["Service"]["ExecStart"])[1:]]
    for line in (DEPLOY / "Procfile").read_text().splitlines():
        yield f"Procfile {line.partition(':')[0]}", ["segue", *shlex.split(line.partition(" segue ")[2])]


@pytest.mark.parametrize("where, words", list(commands()), ids=[where for where, _ in commands()])
def test_commands_exist_with_their_options(where: str, words: list[str]) -> None:
    assert words[0] == "segue"
    command, rest = resolve(words[1:])
    assert {word for word in rest if word.startswith("-")} - options_of(command) == set()


def test_everything_has_more_time_to_stop_than_steps_have_to_end() -> None:
    for where, words in commands():
        if "--grace-seconds" not in words:
            continue
        grace = int(words[words.index("--grace-seconds") + 1])
        assert given_seconds(where) > grace, where


def given_seconds(where: str) -> int:
    if where.startswith("compose.yaml"):
        return int(compose()["x-segue"]["stop_grace_period"].removesuffix("s"))
    if where.startswith("Procfile"):
        return 30  # the platform's
    if where.endswith(".service"):
        return int(unit(DEPLOY / "systemd" / where)["Service"]["TimeoutStopSec"])
    [pod] = [pod_of(manifest) for manifest in manifests() if manifest["metadata"]["name"] == where]
    return int(pod["terminationGracePeriodSeconds"])


# Docker ---------------------------------------------------------------------------------------------------------------


def test_dockerfile_copies_what_is_there_and_runs_as_a_user() -> None:
    structure = dockerfile().structure
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [source for entry in structure if entry["instruction"] == "COPY" for source in entry["value"].split()[:-1]]
    assert {"src", "pyproject.toml", "deploy/app"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, f"{source} is not sent to the build"
    said = [entry["instruction"] for entry in structure]
    assert said.count("FROM") == 2
    assert said.index("USER") < said.index("CMD")
    assert all(not entry["value"].startswith("root") for entry in structure if entry["instruction"] == "USER")


@pytest.mark.proof
def test_the_wheel_of_the_image_is_built_from_what_the_dockerfile_copies(tmp_path: Path) -> None:
    for entry in dockerfile().structure:
        if entry["instruction"] == "RUN":
            break
        if entry["instruction"] == "COPY":
            for source in entry["value"].split()[:-1]:
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy2
                copy(ROOT / source, tmp_path / source)
    words = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        "out",
        ".",
    ]
    subprocess.run(words, cwd=tmp_path, check=True)
    assert len(list((tmp_path / "out").glob("segue-*.whl"))) == 1


class Stack:
    """The services of the compose file as processes, with a database that has no tables yet."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.services = compose()["services"]
        self.processes: dict[str, list[subprocess.Popen[str]]] = {}
        self.ports: dict[str, list[int]] = {}

    def _environment(self, service: dict[str, Any]) -> dict[str, str]:
        given = service["environment"]
        assert set(given) == {"SEGUE_DATABASE_URL", "SEGUE_APP"}
        settings = {"SEGUE_DATABASE_URL": self.url, "SEGUE_APP": given["SEGUE_APP"], "PYTHONPATH": str(DEPLOY / "app")}
        return os.environ | settings

    def start(self, name: str) -> None:
        service = self.services[name]
        for _ in range(service.get("deploy", {}).get("replicas", 1)):
            port = free_port()  # in containers all have the same one
            here = {"0.0.0.0:8080": f"127.0.0.1:{port}", "0.0.0.0": "127.0.0.1", "8042": str(port)}
            words = [here.get(word, word) for word in service["command"]]
            process = subprocess.Popen(
                [SEGUE, *words[1:]], env=self._environment(service), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            self.processes.setdefault(name, []).append(process)
            self.ports.setdefault(name, []).append(port)

    def is_healthy(self, name: str) -> bool:
        """Whether the health check of a service succeeds in each of its containers."""
        kind, program, *words = self.services[name]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "python")
        asked = [[re.sub(r":(8080|8042)/", f":{port}/", word) for word in words] for port in self.ports[name]]
        return all(subprocess.run([sys.executable, *each], capture_output=True).returncode == 0 for each in asked)

    def execute(self, *words: str) -> str:
        """As with `docker compose exec worker`."""
        done = subprocess.run(
            [SEGUE, *words], env=self._environment(self.services["worker"]), capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> list[int]:
        everything = [process for processes in self.processes.values() for process in processes]
        for process in everything:
            process.send_signal(signal.SIGTERM)
        for process in everything:
            process.communicate(timeout=STOP_SECONDS)
        return [process.returncode for process in everything]

    def end(self) -> None:
        for processes in self.processes.values():
            for process in processes:
                process.kill()
                process.communicate()


@pytest.fixture
def stack(make_bare_postgres_url: Callable[[], str]) -> Iterator[Stack]:
    stack = Stack(make_bare_postgres_url())
    yield stack
    stack.end()


def test_services_wait_for_the_tables_and_those_for_the_database() -> None:
    waits = {name: set(service.get("depends_on", ())) for name, service in compose()["services"].items()}
    ours = {name: {"migrate"} for name in ("worker", "scheduler", "web")}
    assert waits == {"database": set(), "migrate": {"database"}, **ours}
    assert compose()["services"]["web"]["ports"] == ["127.0.0.1:8042:8042"], "without TLS, for this machine only"


def test_services_of_the_compose_file_work_together(stack: Stack) -> None:
    stack.start("migrate")
    [migrate] = stack.processes.pop("migrate")
    assert migrate.wait(60) == 0, migrate.communicate()
    stack.start("worker")
    stack.start("scheduler")
    assert stack.execute("start", "takings", "2026-11-20", "--wait").splitlines()[-1] == "615.0"
    with Segue(stack.url) as segue:
        eventually(lambda: [worker.status for worker in segue.workers()] == ["running"] * 2)
        assert eventually(lambda: leads(segue)).endswith(f":{stack.processes['scheduler'][0].pid}")
        assert [schedule.name for schedule in segue.schedules.list()] == ["shop.heartbeat"]
    stack.start("web")
    eventually(lambda: all(map(stack.is_healthy, ("worker", "scheduler", "web"))))
    assert asked(stack, "/api/v1/runs")[0] == 401, "--login asks each request"
    token = stack.execute("tokens", "create", "ann", "--role", "operator").split()[-1]
    status, said = asked(stack, "/api/v1/runs", token)
    assert (status, [run["workflow"] for run in json.loads(said)["items"]]) == (200, ["shop.takings"])
    assert asked(stack, "/readyz") == (200, "ok")
    assert stack.stop() == [0, 0, 0, 0]
    assert not stack.is_healthy("worker")


def asked(stack: Stack, path: str, token: str | None = None) -> tuple[int, str]:
    """What the web server of the stack answers."""
    [port] = stack.ports["web"]
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def leads(segue: Segue) -> str:
    with segue.engine.reading() as tx:
        info = leader_info(tx)
    return info.host if info else ""


# Kubernetes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "manifest", manifests(), ids=[f"{each['kind']}-{each['metadata']['name']}" for each in manifests()]
)
def test_manifests_have_no_field_that_kubernetes_does_not_know(manifest: dict[str, Any]) -> None:
    assert codecs.from_dict(manifest).to_dict() == manifest


def test_unknown_fields_are_noticed() -> None:
    [worker] = [manifest for manifest in manifests() if manifest["metadata"]["name"] == "segue-worker"]
    worker["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    assert codecs.from_dict(worker).to_dict() != worker


def test_deployments_select_their_pods_and_probe_a_port_that_is_there() -> None:
    deployments = [manifest for manifest in manifests() if manifest["kind"] == "Deployment"]
    assert [each["metadata"]["name"] for each in deployments] == ["segue-scheduler", "segue-web", "segue-worker"]
    for manifest in deployments:
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        assert manifest["spec"]["selector"]["matchLabels"].items() <= labels.items()
        [container] = pod_of(manifest)["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        probes = [container[probe]["httpGet"] for probe in container if probe.endswith("Probe")]
        if "web" in container["command"]:
            assert {probe["path"] for probe in probes} == {"/healthz", "/readyz"}
            assert {ports[probe["port"]] for probe in probes} == {8042}
            assert {"0.0.0.0", "8042", "--login"} <= set(container["command"])
        else:
            assert {probe["path"] for probe in probes} == {"/live", "/ready"}
            assert {ports[probe["port"]] for probe in probes} == {8080}
            assert "0.0.0.0:8080" in container["command"]


def test_the_service_of_the_web_pages_finds_its_pods() -> None:
    by_kind = {each["kind"]: each for each in manifests() if each["metadata"]["name"] == "segue-web"}
    spec = by_kind["Service"]["spec"]
    assert spec["selector"] == by_kind["Deployment"]["spec"]["selector"]["matchLabels"]
    [port] = pod_of(by_kind["Deployment"])["containers"][0]["ports"]
    assert spec["ports"][0]["targetPort"] == port["name"]


def test_the_kustomization_names_every_manifest() -> None:
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    others = {"kustomization.yaml", "secret.example.yaml"}
    assert sorted(listed) == sorted({file.name for file in MANIFESTS} - others)


# Proxies --------------------------------------------------------------------------------------------------------------


PROXIES = sorted((DEPLOY / "proxies").iterdir())


@pytest.mark.parametrize("file", PROXIES, ids=lambda file: file.name)
def test_proxies_say_how_the_server_is_started(file: Path) -> None:
    text = file.read_text().replace("\\\n#", "")
    found = re.findall(r"^#\s+(segue web .*)$", text, re.MULTILINE)
    assert len(found) == 1
    command, rest = resolve(shlex.split(found[0])[1:])
    assert {word for word in rest if word.startswith("-")} - options_of(command) == set()
    assert "--public-url" in rest
    assert ("--login" in rest) != ("--user-header" in rest)
    assert "127.0.0.1:8042" in text


def test_oauth2_proxy_sends_names_and_no_authorization_of_its_own() -> None:
    settings = tomllib.loads((DEPLOY / "proxies" / "oauth2-proxy.cfg").read_text())
    assert settings["pass_user_headers"] is True
    assert settings["pass_basic_auth"] is False, "Segue would take it for a token"
    assert settings["skip_auth_strip_headers"] is True, "or a program could name a person"


# systemd --------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_units_are_valid(tmp_path: Path) -> None:
    copies = []
    for file in UNITS:
        copies.append(tmp_path / file.name)
        copies[-1].write_text(file.read_text().replace("/srv/shop/.venv/bin/segue", SEGUE))
    command = ["systemd-analyze", "verify", *map(str, copies)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    about_ours = [line for line in done.stderr.splitlines() if "segue" in line]
    assert (done.returncode, about_ours) == (0, []), done.stderr


def test_the_worker_alone_is_asked_to_stop_and_watched() -> None:
    assert len(UNITS) == 3
    for file in UNITS:
        service = unit(file)["Service"]
        assert service["Restart"] == "always"
        assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
        assert int(service["WatchdogSec"]) >= 30
    assert unit(DEPLOY / "systemd" / "segue-worker@.service")["Service"]["KillMode"] == "mixed"
