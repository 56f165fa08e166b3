"""The service of the tutorial: web server logs, one run for each day, one step for each file.

A worker imports this module, so it only defines. `segue dev -A weblogs` runs it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from segue import Skip, chain, group, task, workflow


@dataclass
class Counts:
    file: str
    lines: int
    errors: int
    bytes: int


@task
def count(path: Path) -> Counts:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return Counts(path.name, len(lines), sum(x["status"] >= 500 for x in lines), sum(x["bytes"] for x in lines))


@task
def find(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.log"))


@task
def add_up(parts: list[Counts]) -> Counts:
    return Counts("all", *(sum(getattr(part, key) for part in parts) for key in ("lines", "errors", "bytes")))


@workflow
def day(folder: str) -> Counts:
    return add_up(count.map(find(folder)))


@task(retries=3, retry_on=OSError, timeout=60)
def count_or_skip(path: Path) -> Counts:
    try:
        return count(path)
    except ValueError as error:
        raise Skip(f"{path} is no log: {error}") from error


@task
def add_known(parts: list[Counts | None]) -> Counts:
    return add_up([part for part in parts if part is not None])


@task
def check(paths: list[Path]):
    """Return a graph, which replaces this step."""
    return chain(group(count_or_skip.s(path) for path in paths), add_known.s().options(rule="none_failed"))


@workflow
def robust_day(folder: str) -> Counts:
    return check(find(folder))


@task
def alert(how: dict) -> None:
    print("ALERT:", how["workflow"].rpartition(".")[2], how["error"]["step"], how["error"]["type"])


@task
def clean_up(folder: str) -> None:
    print("cleaned", folder)


@workflow(on_failure=alert.s(), finally_=clean_up.si("logs/tmp"))
def strict_day(folder: str) -> Counts:
    return add_up(count.map(find(folder)))


@task
def too_many_errors(counts: Counts) -> bool:
    return counts.errors > 20


@task
def page_somebody(counts: Counts) -> str:
    return f"{counts.errors} errors"


@workflow
def watched_day(folder: str):
    counts = check(find(folder))
    page = page_somebody.options(when=too_many_errors(counts))(counts)
    return {"counts": counts, "page": page}
