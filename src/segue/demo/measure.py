"""The figures of one source file, from its syntax tree and its tokens.

Promise: never raises because of a file's content. For a file that cannot be parsed, the lines are counted and the
reason is recorded.
"""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

from segue.demo.findings import FileFacts, FunctionFacts, LineCounts

NOTABLE_PER_FILE = 8

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DOCUMENTABLE = (ast.Module, ast.ClassDef, *_FUNCTIONS)
_BRANCHING = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.comprehension, ast.match_case)
_NO_CONTENT = frozenset(
    {tokenize.ENCODING, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
)
_UNREADABLE = (SyntaxError, ValueError, RecursionError, tokenize.TokenError)

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def measure_file(root: Path, path: str) -> FileFacts:
    """Read and measure the file at `root / path`.

    Example::

        measure_file(standard_library_root(), "abc.py").classes  # 4
    """
    source = (root / path).read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old modules contain escapes and literals that newer Pythons warn about
            tree = ast.parse(source, filename=path)
        lines = _line_counts(source, tree)
    except _UNREADABLE as exc:
        return FileFacts(path=path, lines=_rough_line_counts(source), problem=f"{type(exc).__name__}: {exc}")
    return _facts(path, tree, lines)


def _facts(path: str, tree: ast.Module, lines: LineCounts) -> FileFacts:
    defined = list(_definitions(tree, path))
    named = list(_named_functions(tree))
    functions = [
        FunctionFacts(name, path, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1, _branches(node))
        for name, node, _ in named
    ]
    return FileFacts(
        path=path,
        lines=lines,
        functions=len(functions),
        async_functions=sum(isinstance(node, ast.AsyncFunctionDef) for _, node, _ in named),
        methods=sum(is_method for _, _, is_method in named),
        classes=sum(isinstance(node, ast.ClassDef) for node in ast.walk(tree)),
        documentable=len(defined),
        documented=sum(ast.get_docstring(node, clean=False) is not None for node in defined),
        imports=sorted(_imports(tree)),
        function_lengths=[function.lines for function in functions],
        notable=_notable(functions),
    )


def _line_counts(source: bytes, tree: ast.Module) -> LineCounts:
    docstrings = set(_docstring_lines(tree))
    filled: set[int] = set()
    commented: set[int] = set()
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type == tokenize.COMMENT:
            commented.add(token.start[0])
        elif token.type not in _NO_CONTENT:
            filled.update(range(token.start[0], token.end[0] + 1))
    total = _number_of_lines(source)
    code = len(filled - docstrings)
    comments = len(commented - filled - docstrings)
    return LineCounts(code, len(docstrings), comments, max(total - code - len(docstrings) - comments, 0))


def _rough_line_counts(source: bytes) -> LineCounts:
    lines = source.splitlines()
    comments = sum(line.lstrip().startswith(b"#") for line in lines)
    blank = sum(not line.strip() for line in lines)
    return LineCounts(code=len(lines) - comments - blank, comments=comments, blank=blank)


def _number_of_lines(source: bytes) -> int:
    return len(io.BytesIO(source).readlines())  # as the tokenizer does, for which only "\n" ends a line


def _docstring_lines(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTABLE) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            yield from range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1)


def _definitions(tree: ast.Module, path: str) -> Iterator[ast.Module | ast.ClassDef | _Function]:
    """What should have a docstring: the public names of a module and of its classes."""
    if not any(part.startswith("_") and part != "__init__.py" for part in path.split("/")):
        yield tree
    pending: list[ast.Module | ast.ClassDef] = [tree]
    while pending:
        for node in pending.pop().body:
            if isinstance(node, (ast.ClassDef, *_FUNCTIONS)) and not node.name.startswith("_"):
                yield node
                if isinstance(node, ast.ClassDef):
                    pending.append(node)


def _named_functions(tree: ast.Module) -> Iterator[tuple[str, _Function, bool]]:
    """Every function with its dotted name, and whether it is a method; includes nested functions."""
    pending: list[tuple[ast.AST, str, bool]] = [(tree, "", False)]
    while pending:
        parent, prefix, in_class = pending.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, _FUNCTIONS):
                yield prefix + node.name, node, in_class
                pending.append((node, f"{prefix}{node.name}.", False))
            elif isinstance(node, ast.ClassDef):
                pending.append((node, f"{prefix}{node.name}.", True))
            elif not isinstance(node, ast.expr):  # a function never stands in an expression
                pending.append((node, prefix, in_class))


def _branches(function: _Function) -> int:
    """One, plus one for every place where the path may branch; nested functions count separately."""
    count = 1
    pending: list[ast.AST] = list(ast.iter_child_nodes(function))
    while pending:
        node = pending.pop()
        if isinstance(node, _FUNCTIONS):
            continue
        if isinstance(node, _BRANCHING):
            count += 1
        elif isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
        pending.extend(ast.iter_child_nodes(node))
    return count


def _imports(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def _notable(functions: list[FunctionFacts]) -> list[FunctionFacts]:
    longest = sorted(functions, key=lambda function: -function.lines)[:NOTABLE_PER_FILE]
    branched = sorted(functions, key=lambda function: -function.branches)[:NOTABLE_PER_FILE]
    return longest + [function for function in branched if function not in longest]
