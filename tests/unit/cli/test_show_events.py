"""`segue show` lists what people did to the run, the latest last."""

from __future__ import annotations

import re

from tests.unit.cli.conftest import Shell


def test_what_people_did_stands_below_the_steps(shell: Shell) -> None:
    run_id = shell.start("delayed")
    assert shell.json("show", run_id)["events"] == []
    shell("pause", run_id, "--reason", "the disk")
    shell("resume", run_id)
    shell("cancel", run_id)
    text = shell("show", run_id).stdout
    lines = re.findall(r"^[0-9: -]+ UTC  (run\S+)", text, re.MULTILINE)
    assert lines == ["run.paused", "run.resumed", "run.cancel_requested"]
    assert "reason=the disk" in text
    told = shell.json("show", run_id)["events"]
    assert [event["kind"] for event in told] == ["run.cancel_requested", "run.resumed", "run.paused"]
    assert told[2]["detail"]["reason"] == "the disk"
