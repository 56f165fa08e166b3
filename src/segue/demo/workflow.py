"""The workflow of the demo: list the modules, measure them in parallel, add up, write the report.

Run it by hand like any other workflow::

    segue worker -A segue.demo.workflow --queue segue-demo
    segue start segue.demo.workflow.standard_library '"/tmp/report"'
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from segue import current, task, workflow
from segue.authoring import NoStepError
from segue.demo import corpus, report, tally
from segue.demo.findings import Batch, BatchFacts, Findings, Listing, Summary
from segue.demo.measure import measure_file
from segue.demo.report import Provenance

QUEUE = "segue-demo"
MODULE = "segue.demo.workflow"


@task(queue=QUEUE)
def list_modules(root: str | None, batch_size: int) -> Listing:
    """List the files under `root` (None: Python's own standard library) and divide them into batches."""
    return corpus.list_corpus(Path(root) if root else corpus.standard_library_root(), batch_size=batch_size)


@task(queue=QUEUE, retries=2, timeout=60)
def parse(batch: Batch) -> BatchFacts:
    """Measure the files of one batch."""
    root = Path(batch.root)
    return BatchFacts([measure_file(root, path) for path in batch.files], attempt=_attempt())


@task(queue=QUEUE)
def add_up(listing: Listing, batches: list[BatchFacts]) -> Findings:
    """Add up all figures, and check that each file was counted exactly once."""
    return tally.tally_up(listing, batches)


@task(queue=QUEUE, retries=2)
def write_report(findings: Findings, folder: str, database: str, asked_at: datetime | None) -> Summary:
    """Write the report and the JSON file into `folder`."""
    now = datetime.now(UTC)
    provenance = Provenance(
        run_id=_run_id(),
        database=database,
        written_at=f"{now:%Y-%m-%d %H:%M:%S} UTC",
        seconds=(now - asked_at).total_seconds() if asked_at else None,
    )
    html, json = report.write_files(findings, Path(folder), provenance)
    totals = findings.totals
    return {
        "report": str(html),
        "findings": str(json),
        "files": totals.files,
        "lines": totals.lines.total,
        "functions": totals.functions,
        "classes": totals.classes,
        "exact": findings.coverage.is_exact,
    }


@workflow(queue=QUEUE)
def standard_library(
    folder: str,
    batch_size: int = 4,
    root: str | None = None,
    database: str = "",
    asked_at: datetime | None = None,
) -> Summary:
    """Measure the source of Python's own standard library and write a report into `folder`."""
    listing = list_modules(root, batch_size)
    batches = parse.map(listing["batches"])  # one step for each batch, added after the listing is known
    findings = add_up(listing, batches)
    return write_report(findings, folder, database, asked_at)


def _attempt() -> int:
    try:
        return current().attempt
    except NoStepError:
        return 1  # called as a plain function


def _run_id() -> str:
    try:
        return current().run_id
    except NoStepError:
        return "none, the tasks were called as plain functions"
