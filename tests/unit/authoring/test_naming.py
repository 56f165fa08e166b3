"""A task has one name: where its module is imported, and where it is run as a script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = "from segue import task\n@task\ndef one(): ...\nif __name__ == '__main__':\n    print(one.name)\n"
RELATIVE = "from . import beside\n" + SOURCE


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Modules in packages, in folders without `__init__.py`, and below another root."""
    folder = tmp_path_factory.mktemp("names")
    scripts = "top shop/flow shop/inner/deep shop/__main__ plain/flow plain/pack/flow src/lib/flow odd-name/flow"
    scripts += " bare/__main__"
    for path in scripts.split():
        file = folder / f"{path}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(SOURCE)
    for package in ("shop", "shop/inner", "plain/pack", "src/lib"):
        (folder / package / "__init__.py").touch()
    (folder / "shop/beside.py").touch()
    (folder / "shop/near.py").write_text(RELATIVE)
    return folder


def said(root: Path, *words: str, folder: str = ".", path: str = "") -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [path, *sys.path]))}
    done = subprocess.run(
        [sys.executable, *words], cwd=root / folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or done.stderr


@pytest.mark.parametrize(
    "words, folder, path, imported_as",
    [
        ("top.py", ".", "", "top"),
        ("./top.py", ".", "", "top"),
        ("shop/flow.py", ".", "", "shop.flow"),
        ("-m shop.flow", ".", "", "shop.flow"),
        ("-m shop.near", ".", "", "shop.near"),
        ("-m shop", ".", "", "shop.__main__"),
        ("shop/__main__.py", ".", "", "shop.__main__"),
        ("shop", ".", "", "shop.__main__"),
        ("bare", ".", "", "bare.__main__"),
        ("flow.py", "shop", "", "shop.flow"),
        ("../shop/flow.py", "plain", "", "shop.flow"),
        ("{root}/shop/flow.py", "plain", "", "shop.flow"),
        ("shop/inner/deep.py", ".", "", "shop.inner.deep"),
        ("inner/deep.py", "shop", "", "shop.inner.deep"),
        ("plain/flow.py", ".", "", "plain.flow"),
        ("-m plain.flow", ".", "", "plain.flow"),
        ("flow.py", "plain", "", "flow"),
        ("plain/pack/flow.py", ".", "{root}", "plain.pack.flow"),
        ("{root}/plain/flow.py", "shop", "{root}", "plain.flow"),
        ("src/lib/flow.py", ".", "", "lib.flow"),
        ("src/lib/flow.py", ".", "{root}/src", "lib.flow"),
        ("odd-name/flow.py", ".", "", "flow"),
    ],
)
def test_a_script_is_called_as_a_worker_imports_it(
    root: Path, words: str, folder: str, path: str, imported_as: str
) -> None:
    given = [word.format(root=root) for word in words.split()]
    assert said(root, *given, folder=folder, path=path.format(root=root)) == f"{imported_as}.one"


def test_a_script_that_is_imported_once_more_has_one_name(root: Path) -> None:
    (root / "shop/round.py").write_text("import sys; sys.path.insert(0, '.')\n" + SOURCE + "    import shop.round\n")
    assert said(root, "shop/round.py") == "shop.round.one"


def test_a_file_that_is_imported_under_two_names_is_refused(root: Path) -> None:
    code = "import sys; sys.path.insert(0, 'shop')\nimport shop.flow\nimport flow"
    assert "is imported as shop.flow and as flow; import it by one" in said(root, "-c", code)


def test_a_module_may_be_loaded_again(root: Path) -> None:
    code = "import importlib, shop.flow as f; importlib.reload(f); del __import__('sys').modules['shop.flow']\n"
    assert said(root, "-c", f"{code}import shop.flow; print('fine')") == "fine"
