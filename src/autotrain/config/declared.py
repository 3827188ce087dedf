"""What the modules of a folder declare, read without importing them.

A folder whose modules each hold `NAMES = ("default", "sft")`, on one line or several, is a registry: objectives (which
need torch, so the front doors can't import them) and backends.  A new entry is a new file.
"""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from autotrain.python_text import literal

_NAMES = re.compile(r"^NAMES = (\([^()]*\))", re.MULTILINE)


def declared_names(package: str) -> Mapping[str, str]:
    """Name -> module of `package` that declares it."""
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    found: dict[str, str] = {}
    for file in sorted(file for folder in folders or () for file in Path(folder).glob("*.py")):
        for names in _NAMES.findall(file.read_text(encoding="utf-8")):
            found.update(dict.fromkeys(literal(names), f"{package}.{file.stem}"))
    return MappingProxyType(found)
