"""Leaves out of the image what is never imported: `python -I trim.py SITE`, SITE being the folder with oomward and its packages.

Rule: every module of `agent` is imported, and what a function of one imports when it is called. A distribution of which that loads nothing goes. Of the kubernetes client, so does a
package of which it loads nothing, and the modules of one of which it loads the __init__ alone (models and APIs, which are loaded
by name when somebody asks: oomward reads the JSON itself). Nothing is edited.
What then still says "import" of something that went, anywhere in its code, has to be in NEVER_REACHED with the reason, or
the build ends here.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CLIENT = "kubernetes"
INIT = "__init__.py"
DATA = ("py.typed",)
NEEDLESS_SUFFIXES = {".pyi", ".pyx", ".pxd", ".c", ".h"}
NEEDLESS_RECORDS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
TESTS = re.compile(r"(.*_test|test_.*)\.py")
# Modules that name what was left out, and why nobody gets there.
NEVER_REACHED = {
    "kubernetes.client": "its classes are loaded when somebody asks for one by name; oomward asks for Configuration only",
    "kubernetes.client.api_client": "models are looked up to make objects of answers; oomward reads the JSON itself",
    "dateutil.zoneinfo": "time zones by name; oomward has UTC and the node's own",
    "kubernetes.dynamic": "the dynamic client; oomward makes none",
    "kubernetes.leaderelection": "oomward has no leader",
    "kubernetes.utils": "create_from_yaml makes objects at the API; oomward makes none but Events",
    "rich": "syntax, tracebacks and Markdown in colour; oomward prints tables",
    "pydantic": "checks that need a further package, for types that the client does not use",
    "websocket": "compression and proxies of websockets; oomward opens none",
    "prometheus_client": "servers for other frameworks; oomward has its own",
}
TRACE = """
import importlib, json, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import agent
for found in pkgutil.walk_packages(agent.__path__, "agent."):
    if found.name != "agent.__main__":
        importlib.import_module(found.name)
for name in sys.argv[2:]:
    importlib.import_module(name)
files = {getattr(module, "__file__", None) for module in sys.modules.values()}
json.dump(sorted(file for file in files if file), sys.stdout)
"""


def loaded_files(site: Path) -> set[Path]:
    """Files of all modules that importing the whole agent loads. Only the standard library is there besides ``site``."""
    command = [sys.executable, "-I", "-S", "-B", "-c", TRACE, str(site), *sorted(late_imports(site))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {Path(file) for file in json.loads(done.stdout)}


def late_imports(site: Path) -> set[str]:
    """Modules that a function of oomward imports when it is called, of other packages than the standard library."""
    found: set[str] = set()
    for source in (site / "agent").rglob("*.py"):
        for function in ast.walk(ast.parse(source.read_bytes(), str(source))):
            if isinstance(function, ast.FunctionDef):
                found |= {
                    node.module for node in ast.walk(function) if isinstance(node, ast.ImportFrom) and node.module
                }
                found |= {
                    name.name for node in ast.walk(function) if isinstance(node, ast.Import) for name in node.names
                }
    return {name for name in found if name.partition(".")[0] not in sys.stdlib_module_names}


def unused_distributions(site: Path, loaded: set[Path]) -> Iterator[importlib.metadata.PathDistribution]:
    """Those none of whose files was loaded."""
    for info in sorted(site.glob("*.dist-info")):
        distribution = importlib.metadata.PathDistribution(info)
        if not any(site / file in loaded for file in distribution.files or ()):
            yield distribution


def unused_parts(package: Path, loaded: set[Path]) -> Iterator[Path]:
    """Packages below ``package`` of which nothing was loaded, the highest of each, and modules of those with only their __init__."""
    for folder in sorted(path for path in package.iterdir() if path.is_dir()):
        below = {file for file in loaded if folder in file.parents}
        if not below:
            yield folder
        elif below == {folder / INIT}:
            yield from sorted(path for path in folder.iterdir() if path.name != INIT)
        else:
            yield from unused_parts(folder, loaded)


def remove_distribution(site: Path, distribution: importlib.metadata.PathDistribution) -> set[str]:
    """Remove its files; returns the names that could be imported of it."""
    names = set()
    for file in distribution.files or ():
        path = site / file
        if file.parts[0] == ".." or path.is_dir():
            continue
        path.unlink(missing_ok=True)
        if file.suffix == ".py" or ".so" in file.suffixes:
            names.add(file.parts[0].partition(".")[0])
    return names


def remove_empty_folders(site: Path) -> None:
    """What the removals left."""
    for folder in sorted((path for path in site.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def needless_files(site: Path, loaded: set[Path]) -> Iterator[Path]:
    """Of what stays: stubs, sources in C, tests, and what only pip asks for."""
    for path in sorted(site.rglob("*")):
        if path.is_file() and path not in loaded and is_needless(path.relative_to(site)):
            yield path


def is_needless(path: Path) -> bool:
    """By where it is (relative to SITE) and what it is called."""
    if path.parent.suffix == ".dist-info":
        return path.name in NEEDLESS_RECORDS
    in_tests = any(part in ("tests", "test") for part in path.parts[1:-1])
    return in_tests or path.suffix in NEEDLESS_SUFFIXES or path.name in DATA or TESTS.fullmatch(path.name) is not None


def imported_names(source: Path, module: str) -> set[str]:
    """Full names of what a file imports anywhere in it, but for type checkers only."""
    is_package = source.name == "__init__.py"
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source.read_bytes(), str(source))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
            continue
        waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if is_package else module.split(".")[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            parent = ".".join([*above, *([node.module] if node.module else [])])
            found |= {parent} | {f"{parent}.{alias.name}" for alias in node.names}
    return found


def dangling(site: Path, gone: set[str]) -> Iterator[tuple[str, str]]:
    """Which module names which of the ``gone`` modules (dotted)."""
    for source in sorted(site.rglob("*.py")):
        parts = source.relative_to(site).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for name in sorted(imported_names(source, module)):
            hit = next((one for one in gone if name == one or name.startswith(f"{one}.")), None)
            if hit is not None:
                yield module, hit


def explained(module: str) -> bool:
    """Whether NEVER_REACHED has this module or a package above it."""
    parts = module.split(".")
    return any(".".join(parts[:count]) in NEVER_REACHED for count in range(1, len(parts) + 1))


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())


def main(site: Path) -> int:
    """Trim, say what went, and return 1 when something that stays may miss it."""
    before = size(site)
    loaded = loaded_files(site)
    gone: set[str] = set()
    for distribution in list(unused_distributions(site, loaded)):
        sys.stdout.write(f"left out: {distribution.metadata['Name']}\n")
        gone |= remove_distribution(site, distribution)
    parts = list(unused_parts(site / CLIENT, loaded))
    gone |= {".".join(part.relative_to(site).with_suffix("").parts) for part in parts}
    sys.stdout.write(
        f"left out: {len(parts)} packages and modules of {CLIENT} ({sum(map(size, parts)) / 1e6:.1f} MB)\n"
    )
    for part in parts:
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    for path in list(needless_files(site, loaded)):
        path.unlink()
    remove_empty_folders(site)
    sys.stdout.write(f"packages: {before / 1e6:.1f} MB before, {size(site) / 1e6:.1f} MB after\n")
    unexplained = [(module, name) for module, name in dangling(site, gone) if not explained(module)]
    for module, name in unexplained:
        sys.stderr.write(
            f"trim.py: {module} imports {name}, which was left out: keep it, or say in NEVER_REACHED why nobody gets there\n"
        )
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
