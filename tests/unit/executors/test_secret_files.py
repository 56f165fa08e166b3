"""Secrets of batch systems: one form of reference for all of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from segue.dispatcher.protocol import RefusedError
from segue.executors.secret_files import secret_files, secret_lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "it's $HOME"
    found.mkdir()
    (found / "token").write_text("geheim")
    (found / "token").chmod(0o600)
    return found


def test_a_name_and_a_path_are_the_same_file(folder: Path) -> None:
    for reference in ("token", "file:token", f"file:{folder}/token"):
        files = secret_files({"TOKEN": reference}, str(folder))
        assert files == {"TOKEN": folder / "token"}
    script = "\n".join([*secret_lines(files), 'test "$TOKEN" = geheim'])
    assert "geheim" not in script.replace("= geheim", "")
    assert subprocess.run(["/bin/sh", "-c", script], check=False).returncode == 0
    (folder / "token").unlink()
    assert subprocess.run(["/bin/sh", "-c", script], check=False, capture_output=True).stdout.startswith(b"cannot read")


def test_a_path_may_exist_on_the_machines_of_jobs_only(folder: Path) -> None:
    assert secret_files({"TOKEN": "file:/nowhere/token"}, None) == {"TOKEN": Path("/nowhere/token")}
    with pytest.raises(RefusedError, match="cannot be read"):
        secret_files({"TOKEN": "file:none"}, str(folder))


@pytest.mark.parametrize(
    "reference", ["/etc/passwd", "../token", "file:../token", "file:/a/../b", "file:", "", "vault/../x"]
)
def test_what_names_no_file_is_refused_and_not_repeated(folder: Path, reference: str) -> None:
    with pytest.raises(RefusedError, match="TOKEN") as caught:
        secret_files({"TOKEN": reference}, str(folder))
    assert len(reference) < 6 or reference not in str(caught.value)


def test_what_others_may_read_is_refused(folder: Path) -> None:
    (folder / "token").chmod(0o644)
    for reference in ("token", f"file:{folder}/token"):
        with pytest.raises(RefusedError, match="chmod 600"):
            secret_files({"TOKEN": reference}, str(folder))
    with pytest.raises(RefusedError, match="secrets="):
        secret_files({"TOKEN": "token"}, None)
