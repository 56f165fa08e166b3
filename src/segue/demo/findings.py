"""The demo's findings, as plain data that steps exchange as JSON.

Promise: the figures add up. `code + docstrings + comments + blank == lines`, for each file and for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict


@dataclass(frozen=True, slots=True)
class Batch:
    """Some files under a folder, few enough for one step. The paths are relative to `root`."""

    root: str
    files: list[str]


class Listing(TypedDict):
    """The files found, divided into batches. A dict, so that a workflow can select a part of it by key."""

    root: str
    python: str
    files: list[str]
    batches: list[Batch]


class Summary(TypedDict):
    """The result of the run: the key figures, and where to find the rest."""

    report: str
    findings: str
    files: int
    lines: int
    functions: int
    classes: int
    exact: bool  # each file was counted exactly once


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """One function or method. `branches` counts the paths through it, as cyclomatic complexity does."""

    name: str
    file: str
    line: int
    lines: int
    branches: int


@dataclass(frozen=True, slots=True)
class LineCounts:
    """Lines by kind. A line with code and a comment is code; an empty line in a docstring is docstring."""

    code: int = 0
    docstrings: int = 0
    comments: int = 0
    blank: int = 0

    @property
    def total(self) -> int:
        """All lines."""
        return self.code + self.docstrings + self.comments + self.blank

    def __add__(self, other: LineCounts) -> LineCounts:
        return LineCounts(
            self.code + other.code,
            self.docstrings + other.docstrings,
            self.comments + other.comments,
            self.blank + other.blank,
        )


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The figures of one file. `problem` says why it could not be parsed; then only its lines are counted."""

    path: str
    lines: LineCounts
    functions: int = 0
    async_functions: int = 0
    methods: int = 0
    classes: int = 0
    documentable: int = 0  # public modules, classes and functions
    documented: int = 0  # those of them that have a docstring
    imports: list[str] = field(default_factory=list)  # top-level names, each once
    function_lengths: list[int] = field(default_factory=list)
    notable: list[FunctionFacts] = field(default_factory=list)  # its longest and its most branched
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """The figures of the files of one batch, and the attempt that computed them."""

    files: list[FileFacts]
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Size:
    """A package or module by name, with its lines and files, and how much of it has a docstring."""

    name: str
    lines: int
    files: int
    documentable: int = 0
    documented: int = 0


@dataclass(frozen=True, slots=True)
class Count:
    """How often something occurs."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """The lengths of functions: `bins` counts functions up to so many lines that are too long for the bin before."""

    bins: list[Count]
    median: int
    ninetieth: int
    longest: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """The proof that each file was counted exactly once: compares what was listed with what came back."""

    listed: int
    counted: int
    duplicates: list[str]
    missing: list[str]
    unlisted: list[str]

    @property
    def is_exact(self) -> bool:
        """True if each listed file was counted once, and no other file was."""
        return self.listed == self.counted and not (self.duplicates or self.missing or self.unlisted)


@dataclass(frozen=True, slots=True)
class Totals:
    """The key figures."""

    files: int
    lines: LineCounts
    functions: int
    async_functions: int
    methods: int
    classes: int
    documentable: int
    documented: int

    @property
    def documented_share(self) -> float:
        """The share of public modules, classes and functions that have a docstring, 0 to 1."""
        return self.documented / self.documentable if self.documentable else 0.0


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything shown in the report."""

    python: str
    root: str
    totals: Totals
    coverage: Coverage
    packages: list[Size]  # the biggest first
    modules: list[Size]  # single files, the biggest first
    imported: list[Count]  # by how many files, the most imported first
    longest: list[FunctionFacts]
    branched: list[FunctionFacts]
    lengths: Lengths
    problems: list[FileFacts]
    batches: int = 0
    repeated_batches: int = 0  # needed more than one attempt
