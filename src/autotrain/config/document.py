"""The text of a config, from a file or the network, as plain values that know their lines."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from autotrain.errors import ConfigError

SUFFIXES = (".yml", ".yaml", ".json")
MAX_BYTES = 1_000_000
TIMEOUT_SECONDS = 15
# The grammar is three levels deep; deeper lines are never shown.
MAX_DEPTH = 4
# With aliases written out: a page of them can stand for more than a machine holds.
MAX_NODES = 100_000

KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """A config as written.  `source` is a path or an address; `lines` gives the line (1-based) of each key."""

    source: str
    values: Mapping[Any, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def at(self, path: KeyPath) -> str:
        """`file:line` of a key, or the file alone where the line isn't known."""
        line = self.lines.get(path)
        return f"{self.source}:{line}" if line else self.source


def is_address(source: str) -> bool:
    """Whether `source` is to be fetched rather than opened."""
    return source.lower().startswith(("http://", "https://"))


def read_document(source: str) -> Document:
    """Read a config.  Raises ConfigError for what can't be had, isn't YAML or JSON, or isn't a mapping."""
    text = _decode(_fetch(source) if is_address(source) else _open(source), source)
    is_json = not is_address(source) and Path(source).suffix.lower() == ".json"
    return parse_document(text, source, is_json=is_json)


def parse_document(text: str, source: str, *, is_json: bool = False) -> Document:
    """A config's text, YAML or JSON.  Raises ConfigError as `read_document`."""
    if len(text) > MAX_BYTES:
        raise _too_large(source)
    if text.lstrip()[:1] == "<":
        raise ConfigError(f"{source}: this is a web page, not a config; give the address of the raw file")
    values, lines = _parse_json(text, source) if is_json else _parse_yaml(text, source)
    if values is None:
        raise ConfigError(f"{source}: the file is empty; it needs at least task, base_model, project_name and data.path")
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: a config is a mapping of keys to values (key: value), this is a {_kind(values)}")
    return Document(source, values, lines)


def _open(source: str) -> bytes:
    path = Path(source).expanduser()
    if path.is_dir():
        raise ConfigError(f"{source}: this is a folder; give a config file ({', '.join(SUFFIXES)})")
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{source}: a config file ends in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ConfigError(f"{source}: no such file (looked in {path.absolute().parent}){_neighbours(path)}")
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise ConfigError(f"{source}: can't be read: {problem.strerror}") from problem


def _neighbours(path: Path) -> str:
    folder = path.absolute().parent
    if not folder.is_dir():
        return "; the folder doesn't exist either"
    names = sorted(one.name for one in folder.iterdir() if one.suffix.lower() in SUFFIXES)
    return f"; there are: {', '.join(names[:10])}" if names else ""


def _fetch(source: str) -> bytes:
    import http.client
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(source, timeout=TIMEOUT_SECONDS) as response:
            status, body = response.status, response.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as problem:
        problem.close()
        raise ConfigError(f"{source}: the server answered {problem.code} {problem.reason}; check the address") from problem
    except urllib.error.URLError as problem:
        raise ConfigError(f"{source}: can't be fetched: {problem.reason}; check the address and the network") from problem
    except (OSError, ValueError, http.client.HTTPException) as problem:
        raise ConfigError(f"{source}: can't be fetched: {problem}; check the address and the network") from problem
    if status != 200:
        raise ConfigError(f"{source}: the server answered {status}, not 200; check the address")
    return body


def _decode(body: bytes, source: str) -> str:
    if len(body) > MAX_BYTES:
        raise _too_large(source)
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{source}: byte {problem.start} isn't UTF-8 text; save the file as UTF-8") from problem


def _too_large(source: str) -> ConfigError:
    return ConfigError(f"{source}: larger than {MAX_BYTES // 1000} kB, so hardly a config")


def _parse_json(text: str, source: str) -> tuple[Any, dict[KeyPath, int]]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in pairs:
            if key in values:
                raise ConfigError(f"{source}: the key '{key}' is given twice; keep one")
            values[key] = value
        return values

    if not text.strip():
        return None, {}
    try:
        return json.loads(text, object_pairs_hook=unique), {}
    except json.JSONDecodeError as problem:
        raise ConfigError(f"{source}:{problem.lineno}: not valid JSON: {problem.msg}") from problem
    except RecursionError as problem:
        raise ConfigError(f"{source}: nested too deep for a config") from problem


def _parse_yaml(text: str, source: str) -> tuple[Any, dict[KeyPath, int]]:
    try:
        return _compose(text, source)
    except yaml.MarkedYAMLError as problem:
        raise ConfigError(_yaml_message(problem, source)) from problem
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError) as problem:
        raise ConfigError(f"{source}: not valid YAML: {str(problem).splitlines()[0]}") from problem
    except RecursionError as problem:
        raise ConfigError(f"{source}: nested too deep for a config") from problem


def _compose(text: str, source: str) -> tuple[Any, dict[KeyPath, int]]:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        if _written_out(node, {}) > MAX_NODES:
            raise ConfigError(f"{source}: too large with its aliases (*name) written out; write the values themselves")
        lines: dict[KeyPath, int] = {}
        _collect_lines(node, (), lines, source)
        return loader.construct_document(node), lines
    finally:
        loader.dispose()


def _written_out(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values `node` stands for, each alias counted anew; infinitely many if it holds itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = float("inf")
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_written_out(part, known) for part in parts)
    return known[id(node)]


def _yaml_message(problem: yaml.MarkedYAMLError, source: str) -> str:
    mark = problem.problem_mark or problem.context_mark
    where = f"{source}:{mark.line + 1}" if mark else source
    what = " ".join(part for part in (problem.context, problem.problem) if part)
    tab = "; indent with spaces, YAML takes no tabs" if "'\\t'" in what else ""
    return f"{where}: not valid YAML: {what}{tab}"


def _collect_lines(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], source: str) -> None:
    """Note the line of each key below `node`, and refuse keys given twice."""
    if not isinstance(node, yaml.MappingNode) or len(path) >= MAX_DEPTH:
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in seen and name != "<<":
            raise ConfigError(f"{source}:{line}: the key '{name}' is given twice (first in line {seen[name]}); keep one")
        seen[name] = line
        lines[(*path, name)] = line
        _collect_lines(value, (*path, name), lines, source)


def _kind(value: object) -> str:
    return "list" if isinstance(value, list) else f"single value ({str(value)[:40]!r})"
