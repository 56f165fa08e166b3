"""Celery's own canvas tests, run on plain Celery and with every canvas durable: ``make celery-suite``.

They are taken from Celery's source distribution, which pip fetches into a temporary folder. Both runs use one Redis and
one worker in the test process, as Celery's own integration tests do. Arguments go to pytest: ``ARGS='-k nested'``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import celery

from tests.servers.redis import running_redis

ROOT = Path(__file__).parents[3]
FILES = ("t/integration/test_canvas.py", "t/integration/test_group_chains.py")
RUN_SECONDS = 5400


def fetch(folder: Path) -> Path:
    """Celery's source distribution, of the version that is installed."""
    wanted = f"celery=={celery.__version__}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", wanted]
    subprocess.run([*command, "--dest", str(folder)], check=True)
    [archive] = folder.glob("celery-*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    source = folder / archive.name.removesuffix(".tar.gz")
    (source / "celery").rename(source / "celery-of-the-archive")  # the installed one is tested
    return source


def run(source: Path, broker: str, folder: Path, arguments: list[str], *, durable: bool) -> dict[str, str]:
    """Run the files; returns what came of each test: passed, failed, skipped."""
    report = folder / f"{'durable' if durable else 'plain'}.xml"
    host, _, port = broker.removeprefix("redis://").partition(":")
    environment = {
        **os.environ, "REDIS_HOST": host, "REDIS_PORT": port, "TEST_BROKER": f"{broker}/0",
        "TEST_BACKEND": f"{broker}/0", "SUITE_DATABASE": f"sqlite:///{folder}/suite.db",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(source)]),
    }  # fmt: skip
    plugins = ["-p", "celery.contrib.pytest", *(["-p", "tests.executors.celery.durable_plugin"] if durable else [])]
    command = [
        sys.executable, "-m", "pytest", *plugins, "-p", "no:cacheprovider", "-q", "--timeout=300",
        "--timeout-method=signal", f"--junitxml={report}", *FILES, *arguments,
    ]  # fmt: skip
    subprocess.run(command, cwd=source, env=environment, check=False, timeout=RUN_SECONDS)
    return outcomes(report)


def outcomes(report: Path) -> dict[str, str]:
    """What came of each test, by its name; a test with a failed part has failed."""
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        failure = case.find("failure")
        if failure is not None and "XPASS(strict)" in (failure.get("message") or failure.text or ""):
            here = "passed, though Celery expects it to fail"
        elif failure is not None or case.find("error") is not None:
            here = "failed"
        else:
            here = "skipped" if case.find("skipped") is not None else "passed"
        if found.get(name) != "failed":
            found[name] = here
    return found


def main(arguments: list[str]) -> None:
    """Run both, and print where they differ."""
    with tempfile.TemporaryDirectory(prefix="celery-suite-") as name, running_redis() as broker:
        folder = Path(name)
        source = fetch(folder)
        plain = run(source, broker, folder, arguments, durable=False)
        durable = run(source, broker, folder, arguments, durable=True)
    print(f"\nCelery {celery.__version__}, Redis: {len(plain)} tests\n")
    print("| | plain Celery | every canvas durable |\n|---|---|---|")
    before, after = Counter(plain.values()), Counter(durable.values())
    for word in sorted({*before, *after}):
        print(f"| {word} | {before[word]} | {after[word]} |")
    print("\nDifferent:\n")
    for test in sorted({*plain, *durable}):
        if plain.get(test) != durable.get(test):
            print(f"| `{test}` | {plain.get(test, 'not run')} | {durable.get(test, 'not run')} |")


if __name__ == "__main__":
    main(sys.argv[1:])
