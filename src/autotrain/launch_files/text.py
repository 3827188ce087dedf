"""YAML that people may read and change: in the order in which it was put together, texts of several lines as such."""

from collections.abc import Sequence
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Without anchors: a value that stands in two places is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _as_block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _as_block)


def yaml_text(comments: Sequence[str], *documents: Any) -> str:
    """One YAML file of several documents below comments."""
    head = "".join(f"# {line}\n" for line in comments)
    return head + yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
