"""The rules of the house, kept by tests: layers, sizes, names, docstrings, and what importing Segue may cost.

Each rule says why it is there when it fails. `CONTRIBUTING.md` explains them.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
import tokenize
import tomllib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import version
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import segue
from segue.model import RunStatus, StepStatus

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "segue"

MOST_FILE_LINES = 500
MOST_FUNCTION_LINES = 60
MOST_PUBLIC_METHODS = 15

# Where rows of the database are read.
READ_ROWS = tuple(f"src/segue/{folder}/" for folder in ("client", "engine", "executors", "scheduler", "worker"))

VAGUE_NAMES = frozenset(
    {
        "utils",
        "util",
        "helpers",
        "helper",
        "manager",
        "managers",
        "base",
        "common",
        "core",
        "handler",
        "handlers",
        "misc",
    }
)
HEAVY_MODULES = frozenset(
    {"asyncio", "click", "django", "multiprocessing", "psycopg", "psycopg_pool", "pydantic", "rich", "sqlalchemy"}
)
CONNECTING_EVENTS = ("socket.", "sqlite3.", "subprocess.", "os.fork", "os.posix_spawn")

OPENS_WITH_DOCSTRING = re.compile(r'(\s|#.*\n)*r?"""\s*[^\s"]')

# Only those who stand above the door may go through it; whoever stands below would import in a circle.
USERS_OF_THE_DOOR = ("__init__.py", "cli", "bench", "demo", "compat", "testing")


@dataclass(frozen=True)
class Source:
    """One file of Python, read, and parsed when a rule asks for more than its text."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


@cache
def sources(folder: Path) -> tuple[Source, ...]:
    found = []
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Source(str(path.relative_to(ROOT)), text))
    return tuple(found)


def package_sources() -> tuple[Source, ...]:
    found = sources(PACKAGE)
    assert len(found) >= 20, "the package was not found where it should be, so these rules would check nothing"
    return found


@cache
def repository_files() -> tuple[Path, ...]:
    """Every text file that is, or would be, in version control."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        paths = [ROOT / name.decode() for name in listing.stdout.split(b"\0") if name]
    else:  # an unpacked archive
        paths = [path for folder in ("src", "tests", "docs", "scripts") for path in (ROOT / folder).rglob("*")]
        paths = [path for path in paths if "__pycache__" not in path.parts]
    return tuple(path for path in paths if path.is_file() and path.suffix not in {".png", ".ico", ".woff2", ".gif"})


def report(problems: list[str], why: str) -> str:
    return f"{why}\n" + "\n".join(f"  {problem}" for problem in problems)


# --- layers ---------------------------------------------------------------------------------------------------------


def test_imports_keep_to_the_layers() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = re.search(r"Contracts: (\d+) kept, 0 broken", done.stdout)
    assert kept is not None
    assert int(kept[1]) >= 5


def test_only_the_top_rows_import_through_the_door() -> None:
    problems = [
        f"{source.name}:{node.lineno}"
        for source in package_sources()
        if Path(source.name).parts[2] not in USERS_OF_THE_DOOR
        for node in ast.walk(source.tree)
        if (isinstance(node, ast.ImportFrom) and node.module == "segue")
        or (isinstance(node, ast.Import) and any(alias.name == "segue" for alias in node.names))
    ]
    assert not problems, report(
        problems, "`segue` itself imports these modules; import from the module that defines it."
    )


def imported_by(source: Source) -> Iterator[str]:
    """The modules of Segue that it names in imports, also those for type checkers and those inside functions."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_name(source: Source) -> str:
    return ".".join(Path(source.name).with_suffix("").parts[1:]).removesuffix(".__init__")


@pytest.mark.parametrize(
    "package", ["attempt", "authoring", "cli", "client", "engine", "loop", "plan", "scheduler", "worker"]
)
def test_no_imports_close_a_circle_within_a_package(package: str) -> None:
    """import-linter leaves imports for type checkers out, and sees packages only as wholes."""
    within = {
        module_name(source): source
        for source in package_sources()
        if Path(source.name).parts[2] == package and Path(source.name).name != "__init__.py"
    }
    assert within
    graph = {name: within.keys() & set(imported_by(source)) for name, source in within.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"These modules need each other, so none can be read alone: {' -> '.join(error.args[1])}")


# --- sizes and names ------------------------------------------------------------------------------------------------


def test_files_are_short() -> None:
    problems = [
        f"{source.name}: {lines} lines"
        for source in package_sources()
        if (lines := source.text.count("\n")) > MOST_FILE_LINES
    ]
    assert not problems, report(problems, f"A file has at most {MOST_FILE_LINES} lines; split it by idea.")


def test_functions_are_short() -> None:
    problems = [
        f"{source.name}:{node.lineno} {node.name}: {lines} lines"
        for source in package_sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MOST_FUNCTION_LINES
    ]
    assert not problems, report(problems, f"A function has at most {MOST_FUNCTION_LINES} lines; split it by step.")


def test_public_classes_are_small() -> None:
    problems = [
        f"{source.name}:{node.lineno} {node.name}: {count} public methods"
        for source in package_sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and (count := len(public_methods(node))) > MOST_PUBLIC_METHODS
    ]
    assert not problems, report(
        problems, f"A public class has at most {MOST_PUBLIC_METHODS} public methods; divide its work."
    )


def public_methods(node: ast.ClassDef) -> set[str]:
    functions = [entry for entry in node.body if isinstance(entry, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {function.name for function in functions if not function.name.startswith("_")}


def test_no_handler_of_a_user_can_raise_into_our_code() -> None:
    """Segue's loggers come from `get_logger`."""
    problems = [source.name for source in package_sources() if 'getLogger("segue' in source.text]
    assert not problems, report(problems, "Use `segue.observing.harmless_log.get_logger`.")


def test_migrations_only_add() -> None:
    """Workers of the release before go on while a database is upgraded. 0004 came before anybody did.

    An index may be replaced: no statement names it.
    """
    problems = [
        f"{file.parent.name}/{file.name}"
        for file in sorted((PACKAGE / "store" / "migrations").glob("*/*.sql"))
        if int(file.name[:4]) > 4
        and re.search(r"\b(DROP(?! INDEX)|RENAME)\b", re.sub(r"--.*", "", file.read_text()), re.IGNORECASE)
    ]
    assert not problems, report(problems, "Add columns, tables and indexes; take nothing away that is in use.")


def test_module_names_say_what_is_inside() -> None:
    folders = {"src": PACKAGE, "tests": ROOT / "tests"}
    problems = [
        source.name
        for folder in folders.values()
        for source in sources(folder)
        if VAGUE_NAMES & {part.removesuffix(".py") for part in Path(source.name).parts}
    ]
    assert not problems, report(problems, "These names could stand for anything; name what the module is about.")


@pytest.mark.parametrize("folder", ["src", "tests"])
def test_every_file_opens_with_a_docstring(folder: str) -> None:
    found = sources(ROOT / folder)
    assert found
    problems = [source.name for source in found if source.text.strip() and not OPENS_WITH_DOCSTRING.match(source.text)]
    assert not problems, report(problems, "A file opens with what it is for and what it promises.")


# --- the door -------------------------------------------------------------------------------------------------------


def order_of_names(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_public_names_are_sorted_and_documented() -> None:
    names = list(segue.__all__)
    assert len(names) >= 10
    assert names == sorted(names, key=order_of_names)
    undocumented = [name for name in names if not is_documented(getattr(segue, name))]
    assert not undocumented, report(undocumented, "Public names say what they are for.")


def is_documented(value: object) -> bool:
    if isinstance(value, str):
        return True  # `__version__`
    own = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
    return bool(own)


IMPORT_AND_WATCH = """
import json, sys
events = []
sys.addaudithook(lambda event, _: events.append(event) if watching else None)
watching = True
import segue
watching = False
print(json.dumps({"events": events, "modules": sorted(sys.modules), "names": len(segue.__all__)}))
"""


def test_importing_segue_connects_to_nothing_and_stays_light() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEGUE_")}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_WATCH], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert "import" in seen["events"], "nothing was watched"
    connecting = [event for event in seen["events"] if event.startswith(CONNECTING_EVENTS)]
    assert not connecting, "importing a module only describes; it opens no connection and starts no process"
    heavy = HEAVY_MODULES.intersection(seen["modules"])
    assert not heavy, (
        f"`import segue` is paid by every command and every worker child; it must not load {sorted(heavy)}"
    )


LOOK_THROUGH_THE_DOOR = """
import json, sys
import segue
before = sorted(sys.modules)
names = dir(segue)
is_segue = segue.Segue.__module__ == "segue.client.segue" and "Segue" in vars(segue)
try:
    segue.Nothing
except AttributeError as error:
    refusal = str(error)
print(json.dumps({"before": before, "names": names, "is_segue": is_segue, "refusal": refusal}))
"""


def test_a_module_of_tasks_does_not_load_the_engine() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK_THROUGH_THE_DOOR], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    unneeded = [name for name in seen["before"] if name.startswith(("segue.client", "segue.engine", "segue.store."))]
    assert not unneeded, report(unneeded, "These are imported when `segue.Segue` is first used.")
    assert set(segue.__all__) <= set(seen["names"])
    assert seen["is_segue"]
    assert seen["refusal"] == "module 'segue' has no attribute 'Nothing'"


def test_version_is_told_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in project, "the package reads its version from src/segue/version.py"
    assert version("segue") == segue.__version__, "install Segue again: the environment has another version"
    heading = "Unreleased" if ".dev" in segue.__version__ else segue.__version__
    assert f"## [{heading}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# --- what is not Python ---------------------------------------------------------------------------------------------


def test_every_status_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")
    statuses = {status.value for kind in (StepStatus, RunStatus) for status in kind}
    missing = sorted(status for status in statuses if f"`{status}`" not in text)
    assert not missing, report(missing, "docs/states.md explains every status of a step and of a run, as `status`.")


def test_statements_are_unique_and_used() -> None:
    files = sorted((PACKAGE / "store" / "statements").glob("*.sql"))
    assert len(files) >= 2, "no files of statements were found, so this rule would check nothing"
    code = "\n".join(source.text for source in package_sources())
    included = {name for file in files for name in re.findall(r"\{(\w+)\}", file.read_text(encoding="utf-8"))}
    problems = []
    for file in files:
        names = re.findall(r"^-- name: (\w+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert names, f"{file.name} has no named statement"
        problems += [f"{file.name}: {name} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
        problems += [
            f"{file.name}: {name} is never used" for name in names if name not in included and not is_named(name, code)
        ]
    assert not problems, report(problems, "A statement has one name, and somebody who runs it.")


def is_named(statement: str, code: str) -> bool:
    """True when the code names a statement, or takes all that share its first word, as `"check_"` does."""
    family = statement.partition("_")[0] + "_"
    return f'"{statement}"' in code or f'"{family}"' in code


def test_rows_have_names() -> None:
    """A row of several columns is unpacked, or is a NamedTuple; `row[0]` is for a statement of one column."""
    read = [source for source in package_sources() if source.name.startswith(READ_ROWS)]
    assert len(read) >= 50, "the files were not found where they should be, so this rule would check nothing"
    numbered = [
        f"{source.name}:{found.lineno}: {ast.unparse(found)}"
        for source in read
        for found in ast.walk(source.tree)
        if isinstance(found, ast.Subscript) and _is_a_numbered_column(found)
    ]
    assert not numbered, report(numbered, "Unpack the row, or give its columns names.")


def _is_a_numbered_column(found: ast.Subscript) -> bool:
    """`row[3]`, `row[-1]`, `rows[0][3]`, `later.rows()[0][3]`; in a row of one column only `[0]` is possible."""
    row = found.value
    is_first_row = isinstance(row, ast.Subscript) and "rows" in ast.unparse(row.value) and ast.unparse(row.slice) == "0"
    is_row = (isinstance(row, ast.Name) and row.id == "row") or is_first_row
    column = ast.unparse(found.slice)
    return is_row and column != "0" and column.removeprefix("-").isdecimal()


@pytest.mark.parametrize("code, is_numbered", [
    ("row[3]", True), ("row[-1]", True), ("rows[0][1]", True), ("sent.rows()[0][2]", True),
    ("row[0]", False), ("rows[0][0]", False), ("row['name']", False), ("names[1]", False),
])  # fmt: skip
def test_numbered_columns_are_found(code: str, is_numbered: bool) -> None:
    found = ast.parse(code, mode="eval").body
    assert isinstance(found, ast.Subscript)
    assert _is_a_numbered_column(found) is is_numbered


def test_everything_in_the_package_is_in_the_wheel() -> None:
    wheel = {entry.distribution_path for entry in WheelBuilder(str(ROOT)).recurse_included_files()}
    data = [path for path in repository_files() if path.is_relative_to(PACKAGE)]
    assert {".py", ".sql", ".typed"} <= {path.suffix for path in data}
    missing = [str(path) for path in data if str(path.relative_to(ROOT / "src")) not in wheel]
    assert not missing, report(missing, "These files would be missing after `pip install segue`.")


def test_no_file_mentions_what_is_not_its_readers_business() -> None:
    forbidden = re.compile("|".join((r"(?<![\w.])/work/", r"(?<![\w.])/root/", r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b")))
    files = repository_files()
    assert len(files) >= 40
    problems = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in files
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if forbidden.search(line)
    ]
    assert not problems, report(problems, "No paths of one machine, and nothing that is left to be done some day.")


def test_a_match_over_a_closed_set_ends_in_assert_never() -> None:
    """So mypy names every place that a new member needs, and none passes it over in silence."""
    left_open = [
        f"{source.name}:{found.lineno}"
        for source in package_sources()
        for found in ast.walk(source.tree)
        if isinstance(found, ast.Match) and _is_over_a_closed_set(found) and not _ends_in_assert_never(found)
    ]
    assert left_open == [], "say what becomes of every member, then `case unknown: assert_never(unknown)`"


def _is_over_a_closed_set(found: ast.Match) -> bool:
    """Every case is a member of an enumeration, a class or a literal kind, but for a last one that takes the rest."""
    patterns = [
        one
        for case in found.cases
        for one in (case.pattern.patterns if isinstance(case.pattern, ast.MatchOr) else [case.pattern])
        if not (isinstance(one, ast.MatchAs) and one.pattern is None)
    ]
    is_named = all(
        isinstance(one, ast.MatchClass) or (isinstance(one, ast.MatchValue) and isinstance(one.value, ast.Attribute))
        for one in patterns
    )
    return is_named and all(case.guard is None for case in found.cases)


def _ends_in_assert_never(found: ast.Match) -> bool:
    last = found.cases[-1].body[-1]
    return isinstance(last, ast.Expr) and ast.unparse(last).startswith("assert_never(")


# --- words ------------------------------------------------------------------------------------------------------------

# Words that are never right in comments, docstrings, messages and documentation, and what to write instead.
COY_WORDS = {
    "anew": "again",
    "anybody": "any process, any person",
    "for ever": "forever",
    "nobody": "no process, no person",
    "somebody": "another process, a person",
    "told": "name the actor and what it does: the worker receives ..., the log says ...",
    "wherefore": "so, therefore",
    "whoever": "the process that, the person who",
}
COY = re.compile(
    r"\b(?:anew|anybody|for\s+ever|nobody|somebody|wherefore|whoever|(?:is|are|was|were|be|been)\s+told(?!\s+apart))\b",
    re.I,
)

PROSE_KINDS = frozenset({".md", ".py", ".sql", ".svg"})
PROSE_FOLDERS = ("src/", "docs/")
MIGRATIONS = ("src/segue/store/migrations/",)


def prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """The prose of a file, as lines with their numbers."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), start=1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            for number, line in enumerate(token.string.splitlines(), start=token.start[0]):
                yield number, line.lstrip("# ")


def coy_words(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The listed words in some lines, with the numbers of the lines; a phrase may be broken by the end of a line."""
    numbers, starts, text = [0], [0], ""
    for number, line in lines:
        numbers.append(number)
        starts.append(len(text))
        text += line + "\n"
    for found in COY.finditer(text):
        yield numbers[bisect_right(starts, found.start()) - 1], " ".join(found[0].split())


def remedy(phrase: str) -> str:
    return next(instead for word, instead in COY_WORDS.items() if word in phrase.lower())


def test_prose_is_plain_english() -> None:
    files = [(path, str(path.relative_to(ROOT))) for path in repository_files() if path.suffix in PROSE_KINDS]
    checked = [
        (path, name) for path, name in files if name.startswith(PROSE_FOLDERS) and not name.startswith(MIGRATIONS)
    ]
    assert len(checked) >= 200, "the files were not found where they should be, so this rule would check nothing"
    problems = [
        f"{name}:{number}: {phrase!r}; write {remedy(phrase)}"
        for path, name in checked
        for number, phrase in coy_words(prose_of(path))
    ]
    assert not problems, report(problems, "Write as a native engineer would say it aloud.")


def test_coy_words_are_found() -> None:
    lines = ["# Nobody waits. The worker is", "# told so, for", "# ever; both can be told apart for every run."]
    assert [phrase for _, phrase in coy_words(enumerate(line.lstrip("# ") for line in lines))] == [
        "Nobody",
        "is told",
        "for ever",
    ]
