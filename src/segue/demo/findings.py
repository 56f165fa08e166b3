"""What the demo measures, as plain data that travels between steps as JSON.

Promises: every figure adds up. `code + docstrings + comments + blank == lines`, for one file and for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict


@dataclass(frozen=True, slots=True)
class Batch:
    """Some files under a folder, small enough to be one step. The paths are relative to `root`."""

    root: str
    files: list[str]


class Listing(TypedDict):
    """The files that were found, cut into batches. A dict, so that a workflow may take a part of it by key."""

    root: str
    python: str
    files: list[str]
    batches: list[Batch]


class Summary(TypedDict):
    """What the run answers: the key figures, and where the rest is."""

    report: str
    findings: str
    files: int
    lines: int
    functions: int
    classes: int
    exact: bool  # each file was counted exactly once


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """One function or method. `branches` counts the ways through it, as cyclomatic complexity does."""

    name: str
    file: str
    line: int
    lines: int
    branches: int


@dataclass(frozen=True, slots=True)
class LineCounts:
    """Lines by kind. A line that holds code and a comment is code; an empty line in a docstring is docstring."""

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
    """What one file holds. `problem` says why it could not be parsed; then only its lines are counted."""

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
    """What the files of one batch hold, and which attempt found it out."""

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
    """How long functions are: `bins` holds how many are at most so many lines long, and longer than the bin before."""

    bins: list[Count]
    median: int
    ninetieth: int
    longest: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """The proof that each file was counted exactly once: what was listed against what came back."""

    listed: int
    counted: int
    duplicates: list[str]
    missing: list[str]
    unlisted: list[str]

    @property
    def is_exact(self) -> bool:
        """True when each file that was listed was counted, once, and nothing else was."""
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
    """Everything that the report shows."""

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
