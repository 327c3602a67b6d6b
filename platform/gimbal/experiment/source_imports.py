"""What one source file imports, and the hash of its text.

Imports are read from the syntax tree; nothing is imported. Each file is parsed once per process as
long as its time and size stay the same.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gimbal.errors import ConfigError

ANY = "*"
"""Last name of an import that may be any module of its package."""
_DYNAMIC = frozenset({"import_module", "__import__"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A parsed source file.

    Attributes:
        sha256: Hash of its text, with line ends made alike.
        imports: Absolute names it imports at any depth; `package.*` for a computed one.
    """

    sha256: str
    imports: tuple[str, ...]


_parsed: dict[tuple[str, str], tuple[int, int, SourceFile]] = {}


def read_source(file: Path, package: str) -> SourceFile:
    """Parse a source file, or remember it.

    Args:
        file: The file.
        package: The package that relative imports in it count from.

    Raises:
        ConfigError: If it is not valid Python.
    """
    status = file.stat()
    key = (str(file), package)
    known = _parsed.get(key)
    if known and known[:2] == (status.st_mtime_ns, status.st_size):
        return known[2]
    data = file.read_bytes().replace(b"\r\n", b"\n")
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise ConfigError(
            f"{file}, line {line}: is not valid Python: {error}", "correct that file"
        ) from error
    calls = any(name.encode() in data for name in _DYNAMIC)
    imports = tuple(dict.fromkeys(_imports(tree, package, into_expressions=calls)))
    digest = hashlib.sha256(data).hexdigest()
    source = SourceFile(digest, imports)
    _parsed[key] = (status.st_mtime_ns, status.st_size, source)
    return source


def _imports(tree: ast.Module, package: str, *, into_expressions: bool) -> Iterator[str]:
    """Yield the absolute names a module imports, at any depth."""
    children = ast.iter_child_nodes if into_expressions else _statements_in
    stack: list[ast.AST] = list(tree.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(node, package)
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            stack.extend(node.orelse)
        else:
            if isinstance(node, ast.Call):
                yield from _dynamic_import(node, package)
            stack.extend(children(node))


def _statements_in(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements directly inside one; expressions, the bulk of a tree, are skipped."""
    for name in ("body", "orelse", "handlers", "finalbody", "cases"):
        yield from getattr(node, name, ())


def _imported_from(node: ast.ImportFrom, package: str) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, *([base] if base else [])])
    yield base
    yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


def _dynamic_import(node: ast.Call, package: str) -> Iterator[str]:
    """Yield what `import_module` is given; a computed last name may be any module there."""
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
    if name not in _DYNAMIC or not node.args:
        return
    value = node.args[0]
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value if value.value[:1] != "." else f"{package}{value.value}"
    elif isinstance(value, ast.JoinedStr):
        known = _known_beginning(value, package)
        if "." in known:
            yield f"{known.rpartition('.')[0]}.{ANY}"


def _known_beginning(text: ast.JoinedStr, package: str) -> str:
    known = ""
    for part in text.values:
        if isinstance(part, ast.Constant):
            known += str(part.value)
        elif isinstance(part, ast.FormattedValue) and _is_package_name(part.value):
            known += package
        else:
            break
    return known


def _is_package_name(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id == "__package__"
