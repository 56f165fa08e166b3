"""A soak of the executor of AWS Batch, on moto: `python -m tests.executors.aws.soak --minutes N [--postgres]`.

Amazon loses answers, fails, asks for patience, denies calls, and takes few calls a second.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from segue.dispatcher.protocol import NAME_PREFIX
from tests.executors.pushing.soak import main
from tests.servers.batch import AWS, running_aws

_QUESTIONS = ("describejobs", "listjobs", "getlogevents", "describejobdefinitions", "terminatejob")
_NOT_ENDED = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")


class Batch:
    """The stand-in, which spoils calls by and by."""

    def __init__(self, aws: AWS, chance: random.Random) -> None:
        self._aws = aws
        self._chance = chance
        self._spoiled: Counter[str] = Counter()
        self.blows = [self.submissions_cut, self.submissions_throttled, self.questions_fail, self.questions_denied]

    def environment(self) -> Mapping[str, str]:
        """Nothing more."""
        return {}

    def submissions_cut(self) -> None:
        """The next ones are carried out, and not answered."""
        self._spoil("submitjob", self._chance.choice(["cut", "fail"]))

    def submissions_throttled(self) -> None:
        """The next ones are refused for now."""
        self._spoil("submitjob", "throttle")

    def questions_fail(self) -> None:
        """Some of the next ones."""
        self._spoil(self._chance.choice(_QUESTIONS), self._chance.choice(["cut", "fail", "throttle"]))

    def questions_denied(self) -> None:
        """The role of the dispatcher is changed for a moment."""
        self._spoil(self._chance.choice(_QUESTIONS[:2]), "deny")

    def jobs(self) -> list[str]:
        """Jobs that have not ended: elements of arrays instead of the arrays."""
        found = []
        for status in _NOT_ENDED:
            for job in self._insist("list_jobs", jobQueue="jobs", jobStatus=status)["jobSummaryList"]:
                if job["jobName"].startswith(NAME_PREFIX):
                    found.append(str(job["jobId"]))
        return sorted(set(found))

    def end(self, job: str) -> None:
        """By hand."""
        self._insist("terminate_job", jobId=job, reason="by hand")

    def spoiled(self) -> str:
        """How many calls were spoiled, and how."""
        return ", ".join(f"{kind} {count}" for kind, count in sorted(self._spoiled.items()))

    def operate(self) -> None:
        """A call in between is lost, too."""
        self._spoil("submitjob", "cut", times=1)

    def _insist(self, call: str, **arguments: str) -> Any:
        """A call of the test's own, which the faults befall as well."""
        for _ in range(20):
            with suppress(ClientError):
                return getattr(self._aws.client("batch"), call)(**arguments)
        raise RuntimeError(f"{call} fails again and again")

    def _spoil(self, action: str, what: str, *, times: int | None = None) -> None:
        count = times or self._chance.randrange(1, 6)
        self._spoiled[f"{action} {what}"] += count
        self._aws.fault(action, what=what, times=count)


@contextmanager
def batch(folder: Path, url: str, chance: random.Random) -> Iterator[Batch]:
    """A stand-in that ends with the block."""
    with running_aws() as aws:
        secret = aws.client("secretsmanager").create_secret(Name=folder.name, SecretString=url)
        os.environ |= {"TEST_AWS_URL": aws.url, "TEST_AWS_SECRET": secret["ARN"]}
        yield Batch(aws, chance)


if __name__ == "__main__":
    sys.exit(main("aws", batch))
