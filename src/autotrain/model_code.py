"""The files of Python code that a model brings along, by its own configuration."""

import ast
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from autotrain.python_text import parse

_CONFIGS = ("config.json", "tokenizer_config.json")


def code_files(folder: Path) -> set[str]:
    """Names of the files in `folder` whose code the model there needs: those that its configs name, and what they import."""
    found: set[str] = set()
    waiting = [f"{name}.py" for name in _named_modules(folder)]
    while waiting:
        name = waiting.pop()
        if name not in found and (folder / name).is_file():
            found.add(name)
            waiting.extend(f"{module}.py" for module in _imported_beside(folder / name))
    return found


def _named_modules(folder: Path) -> Iterator[str]:
    """Modules in `auto_map`, whose values are `[REPOSITORY--]MODULE.CLASS`, or lists of them for a tokenizer."""
    for config in _CONFIGS:
        classes = _fields(folder / config).get("auto_map")
        for value in classes.values() if isinstance(classes, dict) else ():
            for name in value if isinstance(value, list) else [value]:
                if isinstance(name, str):
                    yield name.rpartition("--")[2].partition(".")[0]


def _imported_beside(file: Path) -> Iterable[str]:
    """Modules beside `file` that it imports: `from .other import x`, `from . import other`."""
    try:
        tree = parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from [node.module] if node.module else [alias.name for alias in node.names]


def _fields(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]
