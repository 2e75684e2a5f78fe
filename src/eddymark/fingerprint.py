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
    "eddymark.failures",
    "eddymark.fingerprint",
    "eddymark.flows",
    "eddymark.jobs",
    "eddymark.operators",
    "eddymark.plan",
    "eddymark.progress",
    "eddymark.records",
    "eddymark.source_cache",
    "eddymark.source_data",
    "eddymark.stages",
)
"""Modules that cannot change a result: they start jobs, describe or watch them, or map names to paths."""

_KNOWN: dict[str, tuple[str, tuple[str, ...]]] = {}
"""Digest and imports of modules by the digest of what their files hold, as other processes found them."""

_READ: dict[str, tuple[str, tuple[str, ...]]] = {}
"""The same for the files that this process has looked at."""


class SourceTree:
    """The sources of some packages as they are now; each file is looked at once.

    Arguments:
        packages: folder of each top package whose sources count; imports from others are not followed.
    """

    def __init__(self, packages: Mapping[str, Path]) -> None:
        self.packages = dict(packages)
        self._paths: dict[str, Path | None] = {}
        self._modules: dict[str, tuple[str, set[str]]] = {}

    def fingerprint(self, modules: Iterable[str], files: Iterable[Path] = ()) -> str:
        """Return a digest of modules and of all they import, directly or not, at the top or inside functions.

        Arguments:
            modules: dotted names of modules, or of classes and functions in them.
            files: other files whose bytes count, such as templates.
        """
        pending = {module for name in modules for module in self._with_parents(name)}
        seen: set[str] = set()
        while pending:
            module = pending.pop()
            if not _is_names_only(module):
                seen.add(module)
                pending |= self._module(module)[1] - seen
        digests = [(module, self._module(module)[0]) for module in sorted(seen)]
        content = [digests, [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _module(self, module: str) -> tuple[str, set[str]]:
        """Return the digest of a module and the modules which it imports."""
        if module not in self._modules:
            path = self._path(module)
            assert path is not None
            digest, imports = _read(path, path.stat().st_mtime_ns, module)
            self._modules[module] = digest, {found for name in imports for found in self._with_parents(name)}
        return self._modules[module]

    def _with_parents(self, dotted_path: str) -> list[str]:
        """Return the module which a dotted path names or lies in, and the packages above it."""
        parts = dotted_path.split(".")
        if parts[0] not in self.packages:
            return []
        modules = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
        return [module for module in modules if self._path(module) is not None]

    def _path(self, module: str) -> Path | None:
        """Return the source file of a module, or None if there is no such module."""
        if module not in self._paths:
            top, *parts = module.split(".")
            base = self.packages[top].joinpath(*parts)
            candidates = (base / "__init__.py", base.with_name(f"{base.name}.py"))
            if self.packages[top].suffix == ".py":
                candidates = (base, base)
            self._paths[module] = next((path for path in candidates if path.is_file()), None)
        return self._paths[module]


@cache
def foreign_fingerprint(dotted_path: str) -> str:
    """Return a digest of a class from another package: its installed version, or its sources if it has none.

    A package that is being developed (installed in editable mode, or only on the path) counts by its sources.
    """
    top = dotted_path.partition(".")[0]
    distribution = _distribution(top)
    if distribution is not None and '"editable": true' not in (distribution.read_text("direct_url.json") or ""):
        return f"{distribution.metadata['Name']} {distribution.version}"
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return "not installed"
    origin = Path(spec.origin)
    folder = origin.parent if origin.name == "__init__.py" else origin
    return SourceTree({top: folder}).fingerprint([dotted_path])


def _distribution(top: str) -> importlib.metadata.Distribution | None:
    """Return the distribution that installed a top package, whose name may differ from the package's."""
    try:
        return importlib.metadata.distribution(top)
    except importlib.metadata.PackageNotFoundError:
        # `importlib.metadata.packages_distributions` would parse the metadata of every distribution there is.
        return next(filter(lambda found: _installed(found, top), importlib.metadata.distributions()), None)


def _installed(distribution: importlib.metadata.Distribution, top: str) -> bool:
    """Return whether a distribution has brought a top package or module."""
    names = (distribution.read_text("top_level.txt") or "").split()
    record = distribution.read_text("RECORD") or ""
    return top in names or any(f"\n{top}{rest}" in f"\n{record}" for rest in ("/", ".py,"))


def _is_names_only(module: str) -> bool:
    return module in _NAMES_ONLY or module.startswith("eddymark.config.")


def learn(known: Mapping[str, tuple[str, Iterable[str]]]) -> None:
    """Take over what another process has learnt about source files."""
    _KNOWN.update({key: (digest, tuple(imports)) for key, (digest, imports) in known.items()})


def learnt() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return what this process knows of the files it looked at: digest of the code and imports, by that of the file."""
    return dict(_READ)


@cache
def _read(path: Path, _modified: int, module: str) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a file's code and the dotted names which it imports."""
    content = path.read_bytes()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    key = hashlib.sha256(f"{_own_digest()} {package} ".encode() + content).hexdigest()
    if key in _KNOWN:
        _READ[key] = _KNOWN[key]
    else:
        tree = ast.parse(content, filename=str(path))
        imports = tuple(dict.fromkeys(_imports(tree, package)))
        _READ[key] = hashlib.sha256(_canonical(tree).encode()).hexdigest(), imports
    return _READ[key]


@cache
def _own_digest() -> str:
    """Return a digest of this file: what is learnt depends on how fingerprints are made."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


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
