"""Odd words: every executor makes a submission of a step or refuses it; what a shell gets arrives as it was."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.authoring.pushed import CONTAINER
from segue.dispatcher.protocol import Push, RefusedError, Submission
from segue.dispatcher.work import Command, Work, work_of
from segue.executors.aws import ECS, AWSBatch, arrays, requests
from segue.executors.aws.tasks import Place, run_of
from segue.executors.commands import LSF, PBS, GridEngine
from segue.executors.commands.script import script_of
from segue.executors.commands.system import Asked, checked_options
from segue.executors.kubernetes import Kubernetes
from segue.executors.slurm.sbatch import words_of
from segue.executors.slurm.script import array_script_of, own_part, parts_of
from segue.executors.slurm.script import script_of as slurm_script_of
from segue.model import Job

FOLDER = Path("/shared/odd")
PUSH = Push("019ad0c4-6d5e-7c1f-8a6b-7c8d9e0f1a2b", ("019ad0c4-6d5e-7c1f-8a6b-7c8d9e0f1a2c", 0, 1))
TEXT = st.one_of(st.text(max_size=12), st.sampled_from([
    "", " ", "-x", "a b", "'", '"', "$HOME", "$(date)", "`date`", "\\", "\n", "a\nb", "*", "~", "#", ";", "|", "a=b",
    "\x7f\x01", "é", "\U0001f4a5", "$$", "%s", "{", "}", "!", "\r", "\t", "\0",
]))  # fmt: skip
NAMES = st.one_of(st.sampled_from(["A", "_B", "PATH_OF_IT", "SEGUE_RUN", "1A", "a-b", "", "A B", "A=B"]), TEXT)
OPTIONS = (
    "queue", "pod", "container", "task", "tags", "labels", "select", "qsub", "bsub", "sbatch", "parameters", "volumes",
    "definition", "image", "annotations", "tolerations", "node_selector", "resource", "priority", "partition",
)  # fmt: skip
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), TEXT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["name", "containers", "volumes", "env", "count", "x"]) | TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@st.composite
def submissions(draw: st.DrawFn) -> Submission:
    """A command with anything that a database may hold."""
    words = draw(st.lists(TEXT, min_size=1, max_size=4)).copy()
    words[0] = words[0] or "true"
    told: dict[str, Any] = {"command": [word.replace("{", "{{").replace("}", "}}") for word in words], "values": {}}
    told["image"] = draw(st.one_of(st.just("busybox"), JSON))
    for key in ("env", "secrets", "cwd", "result", "tail_bytes", "check"):
        if draw(st.booleans(), label=key):
            told[key] = draw(st.dictionaries(NAMES, TEXT, max_size=3) if key in ("env", "secrets") else JSON)
    options = draw(st.dictionaries(st.sampled_from(OPTIONS), JSON, max_size=2))
    job = Job(*PUSH.attempt, "odd", CONTAINER, msgspec.json.encode([[], told]).decode(), None, {}, None)
    return Submission(PUSH, job, msgspec.json.encode({"options": options}).decode())


@pytest.fixture(scope="module")
def makers() -> dict[str, Callable[[Submission], object]]:
    """What each executor makes of a submission before it calls its platform."""
    kubernetes = Kubernetes("k8s")
    batch = AWSBatch("batch", queue="jobs", execution_role="arn", image="busybox")
    ecs = ECS("ecs", execution_role="arn", image="busybox", subnets=["subnet-1"])
    systems = [kind(kind.__name__.lower(), folder="/shared").system for kind in (GridEngine, PBS, LSF)]

    def of_system(system: Any) -> Callable[[Submission], object]:
        def made(submission: Submission) -> object:
            work = work_of(submission, run_step=["segue"])
            options = checked_options(system, {}, work.options)
            words = system.submit(Asked("odd", FOLDER, work, options, []))
            return words, script_of(FOLDER, work, setup="", where="/", job_id="7", signals=("TERM",), redirects=True)

        return made

    def of_slurm(submission: Submission) -> object:
        work = work_of(submission, run_step=["segue"])
        return words_of(work, defaults={}, environment=()), own_part(work, secrets={}, runner=("apptainer",))

    def of_ecs(submission: Submission) -> object:
        work = requests.work_for(submission, ecs.settings)
        requests.check_options(work.options, {"task": dict, "tags": dict})
        return run_of(PUSH, work, ecs.settings, Place(subnets=("s",)), definition="d", container="main", is_own=True)

    return {
        "kubernetes": kubernetes.manifest, "batch": batch.shape, "ecs": of_ecs, "slurm": of_slurm,
        **{system.title: of_system(system) for system in systems},
    }  # fmt: skip


@given(submission=submissions())
def test_a_submission_is_made_or_refused(
    makers: dict[str, Callable[[Submission], object]], submission: Submission
) -> None:
    for make in makers.values():
        with suppress(RefusedError):
            assert msgspec.json.encode(make(submission))


SHOW = ["sh", "-c", 'printf "%s\\0" "$ODD" "$@"', "show"]
ARRIVES = st.lists(TEXT.filter(lambda text: "\0" not in text), min_size=1, max_size=4)


@given(odd=ARRIVES)
def test_words_and_variables_reach_the_program_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, odd: list[str]
) -> None:
    """Through the scripts of batch systems, of Slurm, alone and in arrays, and of arrays at AWS Batch."""
    folder = tmp_path_factory.mktemp("odd it's $here")
    work = Work(
        (*SHOW, *odd), {"ODD": odd[0]}, command=Command(is_container=False), secrets={}
    )  # fmt: skip
    own = own_part(work, secrets={}, runner=())
    parts = folder / "parts"
    parts.write_text(parts_of({3: own}))
    request = {"containerOverrides": {"command": list(work.words), "environment": [{"name": "ODD", "value": odd[0]}]}}
    array = arrays.array_of([PUSH._replace(place=0)], [request])["containerOverrides"]
    scripts = {
        "system": script_of(
            folder / "system", work, setup="", where="/", job_id="7", signals=("TERM",), redirects=False
        ),
        "slurm": slurm_script_of(folder / "slurm", own, is_command=True, setup="", where="/"),
        "array": array_script_of(folder, parts, is_command=True, setup="", where="/"),
        "batch": array["command"][2],
    }  # fmt: skip
    (folder / "system").mkdir()
    variables = {one["name"]: one["value"] for one in array["environment"]}
    given_by_platform = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", arrays.INDEX: "0"}
    for name, script in scripts.items():
        environment = {"PATH": os.environ["PATH"], **given_by_platform, **(variables if name == "batch" else {})}
        done = subprocess.run(["/bin/sh"], input=script.encode(), capture_output=True, check=False, env=environment)
        said = done.stdout.decode().split("\0")[:-1]
        assert said == [odd[0], *odd], (name, done.stderr)
