"""The source files a module can run: its static import closure among first-party code.

Imports are read from the syntax tree; nothing is imported. First-party is what lies beside the
module (its own source root) and beside `gimbal`; in a folder of installed packages only what the
same distribution installed. Imports inside functions count, those under `TYPE_CHECKING` do not.
What `import_module` is given counts; where its last name is computed (`f"{__package__}.{name}"`),
every module of that package does. Files are named relative to their root, so that the result is the
same on every machine.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from gimbal.errors import ConfigError

BOOKKEEPING = (
    "gimbal.cli",
    "gimbal.errors",
    "gimbal.experiment",
    "gimbal.pipeline",
    "gimbal.testing",
    "gimbal.tracking",
)
"""Platform code that decides where and when a stage runs, never what it computes."""

_INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})
_ANY = "*"
_DYNAMIC = frozenset({"import_module", "__import__"})


@dataclass(frozen=True, slots=True)
class _Source:
    mtime_ns: int
    size: int
    sha256: str
    imports: tuple[str, ...]


_parsed: dict[tuple[Path, str], _Source] = {}
"""Per process: what was read of each file, valid while its time and size stay the same."""


def code_hashes(module: str, extra: Iterable[str] = ()) -> dict[str, str]:
    """Hash every first-party source file that a module's imports reach.

    Args:
        module: The module to start from; it always counts.
        extra: More modules to start from.

    Returns:
        SHA-256 by file name relative to its source root, such as `gimbal_nbv/features.py`.

    Raises:
        ConfigError: If a starting module has no source file, or a source file cannot be parsed.
    """
    starts = [module, *extra]
    roots = tuple(dict.fromkeys(filter(None, map(_root, (*starts, "gimbal")))))
    tops = frozenset(name.partition(".")[0] for name in (*starts, "gimbal"))
    for start in starts:
        if _locate(start, roots, tops) is None:
            raise ConfigError(
                f"the module {start} has no source file, so its code cannot be fingerprinted",
                "define the stage in a .py file of the workload's package",
            )
    waiting = list(starts)
    seen: set[str] = set(starts)
    hashes: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        place = _locate(name, roots, tops)
        if place is None:
            continue
        root, file = place
        source = _read(file, _package(name, file))
        hashes[file.relative_to(root).as_posix()] = source.sha256
        for imported in source.imports:
            for part in _meant(imported, roots, tops):
                if part not in seen and not _is_bookkeeping(part):
                    seen.add(part)
                    waiting.append(part)
    return dict(sorted(hashes.items()))


def _is_bookkeeping(name: str) -> bool:
    return name == "gimbal" or any(
        name == package or name.startswith(f"{package}.") for package in BOOKKEEPING
    )


def _meant(name: str, roots: Iterable[Path], tops: frozenset[str]) -> Iterator[str]:
    """Yield a module and the packages above it; for `package.*` every module in it too."""
    parts = name.split(".")
    if parts[-1] == _ANY:
        parts.pop()
        package = ".".join(parts)
        place = _locate(package, roots, tops)
        beside = place[1].parent.glob("*.py") if place else ()
        yield from (f"{package}.{file.stem}" for file in beside if file.stem != "__init__")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])


def _package(name: str, file: Path) -> str:
    return name if file.name == "__init__.py" else name.rpartition(".")[0]


def _root(module: str) -> Path | None:
    """Return the folder that a module's top-level package lies in, without importing it."""
    top = module.partition(".")[0]
    places = getattr(sys.modules.get(top), "__path__", None)
    file = getattr(sys.modules.get(top), "__file__", None)
    if places is None and file is None:
        spec = importlib.util.find_spec(top)
        places = spec.submodule_search_locations if spec else None
        file = spec.origin if spec else None
    for place in places or ():
        return Path(place).resolve().parent
    return Path(file).resolve().parent if file and file.endswith(".py") else None


def _locate(name: str, roots: Iterable[Path], tops: frozenset[str]) -> tuple[Path, Path] | None:
    top, *_ = parts = name.split(".")
    for root in roots:
        if root.name in _INSTALLED_FOLDERS and top not in _installed_together(tops):
            continue
        base = root.joinpath(*parts)
        for file in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if file.is_file():
                return root, file
    return None


@functools.lru_cache(maxsize=64)
def _installed_together(tops: frozenset[str]) -> frozenset[str]:
    """Return the top-level packages installed by the distributions of the given ones."""
    by_package = metadata.packages_distributions()
    ours = {distribution for top in tops for distribution in by_package.get(top, ())}
    together = {top for top, owners in by_package.items() if ours.intersection(owners)}
    return frozenset(together | tops)


def _read(file: Path, package: str) -> _Source:
    status = file.stat()
    known = _parsed.get((file, package))
    if known and (known.mtime_ns, known.size) == (status.st_mtime_ns, status.st_size):
        return known
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
    source = _Source(status.st_mtime_ns, status.st_size, digest, imports)
    _parsed[file, package] = source
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
            yield f"{known.rpartition('.')[0]}.{_ANY}"


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
