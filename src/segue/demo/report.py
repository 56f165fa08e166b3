"""The report: one self-contained HTML file, and the same figures as JSON.

Promises: a file appears whole or not at all, even if two attempts write it at once; every text from the corpus is
escaped; the page loads nothing, runs no script, and is readable in light, dark, wide and narrow.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

import msgspec

from segue.demo import charts
from segue.demo.charts import Datum
from segue.demo.findings import Findings, FunctionFacts, LineCounts, Size

HTML_NAME = "report.html"
JSON_NAME = "findings.json"
TEMPLATE = Path(__file__).with_name("report.html")

MAPPED_PACKAGES = 110
BARS = 16
ROWS = 12


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a report was made: printed at its foot."""

    run_id: str
    database: str  # "SQLite", "PostgreSQL"
    written_at: str
    seconds: float | None = None  # since the run was started


def write_files(findings: Findings, folder: Path, provenance: Provenance) -> tuple[Path, Path]:
    """Write `report.html` and `findings.json` into `folder`, which is created if necessary; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    html, json = folder / HTML_NAME, folder / JSON_NAME
    _write(json, msgspec.json.format(msgspec.json.encode(findings), indent=2) + b"\n")
    _write(html, render(findings, provenance).encode())
    return html, json


def read_findings(path: Path) -> Findings:
    """Read the findings that `write_files` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Findings)


def render(findings: Findings, provenance: Provenance) -> str:
    """The whole page as text."""
    totals = findings.totals
    lengths = findings.lengths
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        python=escape(findings.python),
        files=f"{totals.files:,}",
        lines=f"{totals.lines.total:,}",
        code=f"{totals.lines.code:,}",
        functions=f"{totals.functions:,}",
        methods=f"{totals.methods:,}",
        async_functions=f"{totals.async_functions:,}",
        classes=f"{totals.classes:,}",
        documented=f"{totals.documented_share:.0%}",
        documentable=f"{totals.documentable:,}",
        packages=f"{len(findings.packages):,}",
        lines_by_kind=_lines_by_kind(totals.lines),
        treemap=_package_maps(findings),
        most_imported=_most_imported(findings),
        biggest_modules=_biggest_modules(findings),
        median=lengths.median,
        ninetieth=lengths.ninetieth,
        longest_length=lengths.longest,
        histogram=_histogram(findings),
        longest_rows=_function_rows(findings.longest, lambda function: function.lines),
        branched_rows=_function_rows(findings.branched, lambda function: function.branches),
        coverage=_coverage(findings),
        problems=_problems(findings),
        facts=_facts(findings, provenance),
    )


def _lines_by_kind(lines: LineCounts) -> str:
    kinds = [
        ("code", "code", lines.code),
        ("docstrings", "docstrings", lines.docstrings),
        ("comments", "comments", lines.comments),
        ("blank", "empty", lines.blank),
    ]
    total = lines.total or 1
    bands = []
    x = 0.0
    for kind, name, count in kinds:
        share = 100 * count / total
        bands.append(
            f'<rect class="{kind}" x="{x:.2f}%" y="0" width="{share:.2f}%" height="28">'
            f"<title>{name}: {count:,} lines</title></rect>"
        )
        x += share
    key = "".join(
        f'<li><span class="swatch {kind}"></span>{name} <b>{count:,}</b> '
        f'<span class="quiet">{count / total:.0%}</span></li>'
        for kind, name, count in kinds
    )
    described = "; ".join(f"{name}: {count:,} lines" for _, name, count in kinds)
    return (
        f'<svg class="band" role="img" width="100%" height="28"><title>Lines by kind</title><desc>{described}</desc>'
        f'{"".join(bands)}</svg><ul class="key">{key}</ul>'
    )


def _package_maps(findings: Findings) -> str:
    shown, rest = findings.packages[:MAPPED_PACKAGES], findings.packages[MAPPED_PACKAGES:]
    data = [Datum(size.name, size.lines, _package_note(size), _shade(size)) for size in shown]
    if rest:
        data.append(Datum(f"{len(rest)} others", sum(size.lines for size in rest), shade="others"))
    title = "Packages and modules by their lines"
    wide = charts.treemap(data, title=title, unit="lines", width=1080, height=500)
    tall = charts.treemap(data, title=title, unit="lines", width=420, height=640)
    return f'<div class="wide">{wide}</div><div class="tall">{tall}</div>'


def _package_note(size: Size) -> str:
    return (
        f"{size.name}: {size.lines:,} lines in {_counted(size.files, 'file')}; "
        f"{size.documented:,} of {size.documentable:,} public names have a docstring"
    )


def _shade(size: Size) -> str:
    """The style class of a package by the share of its public names that have a docstring, in quarters."""
    if not size.documentable:
        return "doc0"
    return f"doc{min(4 * size.documented // size.documentable, 3)}"


def _most_imported(findings: Findings) -> str:
    data = [
        Datum(item.name, item.count, f"{item.name} is imported by {_counted(item.count, 'file')}")
        for item in findings.imported[:BARS]
    ]
    return charts.bars(data, title="The most imported modules", unit="files")


def _biggest_modules(findings: Findings) -> str:
    data = [Datum(size.name.removesuffix(".py"), size.lines) for size in findings.modules[:BARS]]
    return charts.bars(data, title="The biggest modules", unit="lines")


def _histogram(findings: Findings) -> str:
    data = [Datum(item.name, item.count) for item in findings.lengths.bins]
    return charts.columns(data, title="Functions by their length in lines", unit="functions")


def _function_rows(functions: Sequence[FunctionFacts], value: Callable[[FunctionFacts], int]) -> str:
    shown = functions[:ROWS]
    most = max((value(function) for function in shown), default=0) or 1
    return "".join(
        f'<tr><th scope="row"><code>{_breakable(function.name)}</code>'
        f'<span class="where">{_breakable(function.file)}:{function.line}</span></th>'
        f'<td><span class="meter" style="--share:{value(function) / most:.3f}"></span>'
        f'<span class="number">{value(function):,}</span></td></tr>'
        for function in shown
    )


def _coverage(findings: Findings) -> str:
    coverage = findings.coverage
    if coverage.is_exact:
        return (
            f'<p class="proof">Of {coverage.listed:,} files listed, {coverage.counted:,} were counted: '
            "each exactly once.</p>"
        )
    wrong = [
        f"{len(paths):,} {what} ({escape(_some(paths))})"
        for paths, what in (
            (coverage.duplicates, "more than once"),
            (coverage.missing, "not at all"),
            (coverage.unlisted, "without being listed"),
        )
        if paths
    ]
    return (
        f'<p class="proof broken">Of {coverage.listed:,} files listed, not each was counted exactly once: '
        f"{'; '.join(wrong)}.</p>"
    )


def _problems(findings: Findings) -> str:
    if not findings.problems:
        return ""
    items = "".join(
        f"<li><code>{escape(facts.path)}</code> {escape(facts.problem or '')}</li>"
        for facts in findings.problems[:ROWS]
    )
    return (
        f"<p>{_counted(len(findings.problems), 'file')} could not be parsed and "
        f"{'is' if len(findings.problems) == 1 else 'are'} counted by lines only:</p><ul>{items}</ul>"
    )


def _facts(findings: Findings, provenance: Provenance) -> str:
    facts = [
        ("Run", provenance.run_id),
        ("Database", provenance.database),
        ("Steps", f"{findings.batches:,} batches found at run time, {findings.repeated_batches:,} of them retried"),
        ("Read", f"Python {findings.python}, {findings.root}"),
        ("Written", provenance.written_at),
    ]
    if provenance.seconds is not None:
        facts.insert(3, ("Time", f"{provenance.seconds:.1f} s from the start of the run to this page"))
    return "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)


def _breakable(name: str) -> str:
    """A name as HTML that may wrap between its parts."""
    text = escape(name)
    for mark in "._/":
        text = text.replace(mark, f"{mark}<wbr>")
    return text


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _some(paths: Iterable[str], most: int = 5) -> str:
    names = list(paths)
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _write(path: Path, content: bytes) -> None:
    """Write a file beside the path and move it there, so that a reader never sees half a file."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
