"""The tests of dramatiq-workflow, run on itself and on Segue's module of its names: ``make dramatiq-suite``.

They are taken from its source distribution, which pip fetches into a temporary folder; ``--source FOLDER`` takes those
of a checkout. In place of the package there is one whose modules are those of `segue.compat.dramatiq_workflow`.
Further arguments go to pytest: ``ARGS='-k storage'``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

from tests.executors.celery.suite import outcomes

ROOT = Path(__file__).parents[3]
VERSION = "0.3.0"
RUN_SECONDS = 600
ALIASES = """
import sys, time
from importlib import import_module

OURS = "segue.compat.dramatiq_workflow"
globals().update(vars(import_module(OURS)), __name__=__name__, __path__=[__path__[0]])
for name in ("_barrier", "_base", "_constants", "_middleware", "_models", "_serialize", "_storage"):
    module = sys.modules[f"{__name__}.{name}"] = globals()[name] = import_module(f"{OURS}.{name}")
_base.time = time  # the tests set the clock of this module
"""


def fetch(folder: Path) -> Path:
    """The source distribution."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), f"dramatiq-workflow=={VERSION}"], check=True)
    [archive] = folder.glob("dramatiq_workflow-*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def run(package: Path, folder: Path, arguments: list[str]) -> dict[str, str]:
    """Run the tests of a package; returns what came of each."""
    report = folder / f"{package.parent.name}.xml"
    environment = {
        **os.environ, "SEGUE_DATABASE_URL": f"sqlite:///{folder}/suite.db",
        "PYTHONPATH": os.pathsep.join([str(package.parent), str(ROOT)]),
    }  # fmt: skip
    command = [
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--timeout=60", f"--junitxml={report}",
        f"--rootdir={package.parent}", str(package / "tests"), *arguments,
    ]  # fmt: skip
    subprocess.run(command, cwd=package.parent, env=environment, check=False, timeout=RUN_SECONDS)
    return outcomes(report)


def alias(source: Path, folder: Path) -> Path:
    """A package with the same tests, whose modules are Segue's."""
    package = folder / "aliased" / "dramatiq_workflow"
    shutil.copytree(source / "dramatiq_workflow" / "tests", package / "tests")
    (package / "__init__.py").write_text(ALIASES)
    return package


def main(arguments: list[str]) -> None:
    """Run both, and print where they differ."""
    with tempfile.TemporaryDirectory(prefix="dramatiq-suite-") as name:
        folder = Path(name)
        if "--source" in arguments:
            at = arguments.index("--source")
            source = Path(arguments[at + 1]).resolve()
            del arguments[at : at + 2]
        else:
            source = fetch(folder)
        itself = run(source / "dramatiq_workflow", folder, arguments)
        ours = run(alias(source, folder), folder, arguments)
    print(f"\n{source.name}: {len(itself)} tests\n")
    print("| | dramatiq-workflow | segue.compat.dramatiq_workflow |\n|---|---|---|")
    before, after = Counter(itself.values()), Counter(ours.values())
    for word in sorted({*before, *after}):
        print(f"| {word} | {before[word]} | {after[word]} |")
    print("\nDifferent:\n")
    for test in sorted({*itself, *ours}):
        if itself.get(test) != ours.get(test):
            print(f"| `{test}` | {itself.get(test, 'not run')} | {ours.get(test, 'not run')} |")


if __name__ == "__main__":
    main(sys.argv[1:])
