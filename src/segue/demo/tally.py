"""Combines the figures of all files.

Promises: the result does not depend on the order of the batches, and says of each file whether it was counted once. A
file that came back twice is counted once and reported as a duplicate.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from segue.demo.findings import (
    BatchFacts,
    Count,
    Coverage,
    FileFacts,
    Findings,
    Lengths,
    LineCounts,
    Listing,
    Size,
    Totals,
)

KEPT = 40
KEPT_FUNCTIONS = 15
LENGTH_BINS = (2, 4, 8, 16, 32, 64, 128, 256)


def tally_up(listing: Listing, batches: list[BatchFacts]) -> Findings:
    """Add up the findings in `batches` for the files in `listing`."""
    returned = [facts for batch in batches for facts in batch.files]
    files = sorted({facts.path: facts for facts in returned}.values(), key=lambda facts: facts.path)
    notable = [function for facts in files for function in facts.notable]
    return Findings(
        python=listing["python"],
        root=listing["root"],
        totals=_totals(files),
        coverage=_coverage(listing["files"], [facts.path for facts in returned]),
        packages=_packages(files),
        modules=_biggest(_size(facts.path, [facts]) for facts in files)[:KEPT],
        imported=_imported(files),
        longest=sorted(notable, key=lambda f: (-f.lines, f.file, f.line))[:KEPT_FUNCTIONS],
        branched=sorted(notable, key=lambda f: (-f.branches, f.file, f.line))[:KEPT_FUNCTIONS],
        lengths=_lengths(sorted(length for facts in files for length in facts.function_lengths)),
        problems=[facts for facts in files if facts.problem],
        batches=len(batches),
        repeated_batches=sum(batch.attempt > 1 for batch in batches),
    )


def package_of(path: str) -> str:
    """The top-level package or module of a file: `json` for `json/decoder.py`, `abc` for `abc.py`."""
    return path.partition("/")[0].removesuffix(".py")


def _totals(files: list[FileFacts]) -> Totals:
    return Totals(
        files=len(files),
        lines=sum((facts.lines for facts in files), LineCounts()),
        functions=sum(facts.functions for facts in files),
        async_functions=sum(facts.async_functions for facts in files),
        methods=sum(facts.methods for facts in files),
        classes=sum(facts.classes for facts in files),
        documentable=sum(facts.documentable for facts in files),
        documented=sum(facts.documented for facts in files),
    )


def _coverage(listed: list[str], counted: list[str]) -> Coverage:
    times = Counter(counted)
    return Coverage(
        listed=len(listed),
        counted=len(counted),
        duplicates=sorted(path for path, count in times.items() if count > 1),
        missing=sorted(set(listed) - times.keys()),
        unlisted=sorted(times.keys() - set(listed)),
    )


def _packages(files: list[FileFacts]) -> list[Size]:
    members: defaultdict[str, list[FileFacts]] = defaultdict(list)
    for facts in files:
        members[package_of(facts.path)].append(facts)
    return _biggest(_size(name, package) for name, package in members.items())


def _size(name: str, files: list[FileFacts]) -> Size:
    return Size(
        name=name,
        lines=sum(facts.lines.total for facts in files),
        files=len(files),
        documentable=sum(facts.documentable for facts in files),
        documented=sum(facts.documented for facts in files),
    )


def _biggest(sizes: Iterable[Size]) -> list[Size]:
    return sorted(sizes, key=lambda size: (-size.lines, size.name))


def _imported(files: list[FileFacts]) -> list[Count]:
    counts = Counter(name for facts in files for name in facts.imports)
    return [Count(name, count) for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:KEPT]]


def _lengths(ordered: list[int]) -> Lengths:
    if not ordered:
        return Lengths(bins=[], median=0, ninetieth=0, longest=0)
    bins = []
    floor = 0
    for ceiling in LENGTH_BINS:
        bins.append(Count(f"≤ {ceiling}", sum(floor < length <= ceiling for length in ordered)))
        floor = ceiling
    bins.append(Count("more", sum(length > floor for length in ordered)))
    last = len(ordered) - 1
    return Lengths(bins, ordered[last // 2], ordered[round(last * 0.9)], ordered[-1])
