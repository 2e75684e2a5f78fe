"""Fingerprints of source code: they depend on what the code does, not on its comments and docstrings."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

_NAMES_ONLY = (
    "eddymark",
    "eddymark.cli",
    "eddymark.closures",
    "eddymark.config",
    "eddymark.errors",
    "eddymark.fingerprint",
    "eddymark.flows",
    "eddymark.operators",
    "eddymark.plan",
    "eddymark.records",
    "eddymark.stages",
)
"""Modules that cannot change a result: they start jobs, describe them or map names to paths."""


def source_fingerprint(
    modules: Iterable[str], *, packages: Mapping[str, Path], files: Iterable[Path] = ()
) -> str:
    """Return a digest of modules and of all they import, directly or not, at the top or inside functions.

    Arguments:
        modules: dotted names of modules, or of classes and functions in them.
        packages: folder of each top package whose sources count; imports from others are not followed.
        files: other files whose bytes count, such as templates.
    """
    pending = [parent for name in modules for parent in _with_parents(name, packages)]
    digests: dict[str, str] = {}
    while pending:
        module = pending.pop()
        if module in digests or _is_names_only(module):
            continue
        path = _file_of(module, packages)
        assert path is not None
        digests[module], imports = _read(path, path.stat().st_mtime_ns, module)
        for name in imports:
            if name.partition(".")[0] in packages:
                pending += _with_parents(name, packages)
    content = [sorted(digests.items()), [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@cache
def foreign_fingerprint(dotted_path: str) -> str:
    """Return a digest of a class from another package: its installed version, or its sources if it has none.

    A package that is being developed (installed in editable mode, or only on the path) counts by its sources.
    """
    top = dotted_path.partition(".")[0]
    distribution = _distribution(top)
    if distribution is not None and '"editable": true' not in (
        distribution.read_text("direct_url.json") or ""
    ):
        return f"{distribution.metadata['Name']} {distribution.version}"
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return "not installed"
    origin = Path(spec.origin)
    folder = origin.parent if origin.name == "__init__.py" else origin
    return source_fingerprint([dotted_path], packages={top: folder})


def _distribution(top: str) -> importlib.metadata.Distribution | None:
    """Return the distribution that installed a top package, whose name may differ from the package's."""
    try:
        return importlib.metadata.distribution(top)
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(top, [])
        return importlib.metadata.distribution(names[0]) if names else None


def _with_parents(dotted_path: str, packages: Mapping[str, Path]) -> list[str]:
    """Return the module which a dotted path names or lies in, and the packages above it."""
    parts = dotted_path.split(".")
    modules = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return [module for module in modules if _file_of(module, packages) is not None]


def _is_names_only(module: str) -> bool:
    return module in _NAMES_ONLY or module.startswith("eddymark.config.")


def _file_of(module: str, packages: Mapping[str, Path]) -> Path | None:
    """Return the source file of a module, or None if there is no such module."""
    top, *parts = module.split(".")
    if top not in packages:
        return None
    base = packages[top]
    if base.suffix == ".py":
        return base if not parts else None
    package = base.joinpath(*parts, "__init__.py")
    if package.is_file():
        return package
    path = base.joinpath(*parts).with_suffix(".py") if parts else package
    return path if path.is_file() else None


@cache
def _read(path: Path, _modified: int, module: str) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a file's code and the dotted names which it imports."""
    tree = ast.parse(path.read_bytes(), filename=str(path))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports = tuple(dict.fromkeys(_imports(tree, package)))
    return hashlib.sha256(_canonical(tree).encode()).hexdigest(), imports


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _canonical(node: object) -> str:
    """Return code as text without positions, docstrings and empty fields.

    Unlike `ast.dump`, it does not depend on the version of Python as long as the code uses nothing new.
    """
    if isinstance(node, ast.AST):
        fields = []
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(value, list):
                value = [statement for statement in value if not _is_text(statement)]
            if value is not None and value != []:
                fields.append(f"{name}={_canonical(value)}")
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{','.join(map(_canonical, node))}]"
    return repr(node)


def _is_text(statement: ast.AST) -> bool:
    """Return whether a statement is a docstring or another text that is only there to be read."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
