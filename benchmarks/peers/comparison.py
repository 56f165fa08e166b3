"""Shows all systems side by side, and the ratio of each to Segue, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass
class Result:
    """The results of all sessions of one system."""

    figures: dict[str, list[float]] = field(default_factory=dict)  # all of them: less is better
    problems: list[str] = field(default_factory=list)
    setting: str = ""
    durable: str = ""
    notes: str = ""
    cannot: dict[str, str] = field(default_factory=dict)

    def add(self, session: Mapping[str, Any]) -> None:
        """Add one session."""
        for figure, values in session.get("figures", {}).items():
            self.figures.setdefault(figure, []).extend(values)
        self.problems += session.get("problems", [])
        for text in ("setting", "durable", "notes", "cannot"):
            setattr(self, text, session.get(text) or getattr(self, text))


def markdown(results: Mapping[str, Result]) -> str:
    """The whole report."""
    figures = list(dict.fromkeys(figure for result in results.values() for figure in result.figures))
    parts = [_figures(results, figures)]
    ours = [name for name in results if name.startswith("segue-")]
    for name in ours:
        parts.append(_ratios(results, figures, name))
    parts.append(_settings(results))
    return "\n\n".join(parts) + "\n"


def _figures(results: Mapping[str, Result], figures: Sequence[str]) -> str:
    rows = [[name, *(_spread(result, figure) for figure in figures)] for name, result in results.items()]
    return "Median (min..max); less is better.\n\n" + _table(["system", *figures], rows)


def _ratios(results: Mapping[str, Result], figures: Sequence[str], ours: str) -> str:
    """The ratio of each system's median to Segue's."""
    rows = []
    for name, result in results.items():
        if not name.startswith("segue-"):
            cells = []
            for figure in figures:
                theirs, mine = result.figures.get(figure), results[ours].figures.get(figure)
                cells.append(f"{median(theirs) / median(mine):.1f} ×" if theirs and mine else "-")
            rows.append([name, *cells])
    return f"rival / {ours}: times as long as Segue.\n\n" + _table(["system", *figures], rows)


def _spread(result: Result, figure: str) -> str:
    values = result.figures.get(figure)
    if not values:
        return "failed" if result.problems else "-"
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{median(values):.3g} ({min(values):.3g}..{max(values):.3g})"


def _settings(results: Mapping[str, Result]) -> str:
    rows = []
    for name, result in results.items():
        cannot = "; ".join(f"cannot express {work}: {why}" for work, why in result.cannot.items())
        remarks = "; ".join(text for text in (result.notes, cannot, *result.problems) if text)
        rows.append([name, result.setting, result.durable, remarks.replace("\n", " ").replace("|", "/")])
    return _table(["system", "setting", "durable", "remarks"], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
