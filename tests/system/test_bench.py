"""`segue bench` with real workers: small numbers, every figure checked by itself, everything cleared away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segue.bench import main, workloads
from segue.bench.workloads import Sizes

TINY = Sizes(chain=6, fans=(12,), diamonds=4, drain=40, single_starts=3)


@pytest.mark.proof
def test_workloads_are_measured_and_written_down(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.bench.command.QUICK", TINY)
    monkeypatch.setattr(workloads, "IDLE_SECONDS", 0.0)
    url = database_url if database_url.startswith("postgres") else f"sqlite:///{tmp_path}/any.db"
    words = ["--database", url, "--no-sqlite", "--quick", "--repeat", "1", "--json", str(tmp_path / "out.json")]
    before = {path.name for path in tmp_path.iterdir()}
    assert main([*words, "--only", "chain,fanout,diamonds,drain"]) == 0
    out = json.loads((tmp_path / "out.json").read_text())
    assert out["problems"] == []
    assert {reading["work"] for reading in out["readings"]} == {"chain", "fanout", "diamonds", "drain"}
    assert all(reading["median"] > 0 for reading in out["readings"])
    assert {path.name for path in tmp_path.iterdir()} == before | {"out.json"}
