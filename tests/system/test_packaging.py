"""The packages that are published: what is in them, and whether a fresh environment runs a workflow with the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from scripts.check_dist import problems_of_sdist, problems_of_wheel
from segue import __version__

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")
METADATA = "\n".join(
    f"{field}: x"
    for field in ("Version", "Summary", "License-Expression", "Requires-Python", "Description-Content-Type")
)

SHOP = """
from segue import task, workflow

@task
def price(order: int) -> float:
    return order * 1.5

@task
def add_up(prices: list[float]) -> float:
    return sum(prices)

@workflow
def takings(orders: list[int]) -> float:
    return add_up(price.map(orders))
"""


def included(builder: type[WheelBuilder] | type[SdistBuilder]) -> list[str]:
    return [entry.distribution_path for entry in builder(str(ROOT)).recurse_included_files()]


def test_wheel_has_the_package_and_nothing_else() -> None:
    assert problems_of_wheel(included(WheelBuilder), METADATA) == []


def test_sdist_has_what_it_takes_to_build_test_and_document() -> None:
    names = [*included(SdistBuilder), "pyproject.toml"]  # which hatch adds by itself
    assert problems_of_sdist(names) == []
    for folder in ("website/", "benchmarks/", "examples/", "scripts/"):
        assert any(name.startswith(folder) for name in names), folder


def test_wrong_packages_are_noticed() -> None:
    names = included(WheelBuilder)
    assert problems_of_wheel([name for name in names if name != "segue/py.typed"], METADATA) == [
        "segue/py.typed is missing"
    ]
    assert problems_of_wheel([*names, "tests/conftest.py"], METADATA) == ["tests/conftest.py does not belong there"]
    assert problems_of_wheel([*names, "segue/a/__pycache__/b.pyc"], METADATA) == [
        "segue/a/__pycache__/b.pyc was left behind"
    ]
    assert problems_of_wheel(names, "Version: 1") != []
    assert "segue.db was left behind" in problems_of_sdist(["segue.db"])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built the way that a release is: an sdist, and the wheel from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    files = [str(file) for file in folder.iterdir()]
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    run(sys.executable, "-m", "scripts.check_dist", *files, cwd=ROOT)
    [built] = folder.glob("*.whl")
    return built


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("python", PYTHONS)
def test_wheel_runs_a_workflow_in_a_fresh_environment(python: str, wheel: Path, tmp_path: Path) -> None:
    if not is_there(python):
        pytest.skip(f"{python} is not installed")
    run("sh", str(ROOT / "scripts" / "make-venv.sh"), python, str(tmp_path / "env"))
    run(str(tmp_path / "env/bin/python"), "-m", "pip", "install", "--quiet", str(wheel))
    check_that_it_works(tmp_path)


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_uv_installs_the_wheel(wheel: Path, tmp_path: Path) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("uv is not installed")
    run(uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "env"))
    run(uv, "pip", "install", "--quiet", "--python", str(tmp_path / "env/bin/python"), str(wheel))
    check_that_it_works(tmp_path)


def check_that_it_works(folder: Path) -> None:
    """A start, a worker, and the result, by the command that was installed."""
    (folder / "shop.py").write_text(SHOP)
    segue = str(folder / "env/bin/segue")
    outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment = outside | {"SEGUE_DATABASE_URL": f"sqlite:///{folder}/shop.db", "SEGUE_APP": "shop"}
    assert __version__ in run(segue, "--version", env=environment)
    started = run(segue, "start", "takings", "[101, 102]", cwd=folder, env=environment)
    run(segue, "worker", "--burst", cwd=folder, env=environment)
    assert run(segue, "result", started.split()[-1], cwd=folder, env=environment) == "304.5\n"


def is_there(python: str) -> bool:
    """A name on the path may be a link of a version manager that leads nowhere."""
    found = shutil.which(python)
    return found is not None and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0


def run(*words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout
