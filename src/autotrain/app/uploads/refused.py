"""What is said of an upload, as keys of words: the page and the API put it into the reader's language."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from autotrain.app.words import t


@dataclass(frozen=True)
class Note:
    """What was done to a file so that it can be read.  key: of the words, without `upload.`."""

    key: str
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def text(self) -> str:
        values = dict(self.values)
        if "separator" in values:
            values["separator"] = t(f"upload.separator_{values['separator']}")
        return t(f"upload.{self.key}", **values)


class Refused(Exception):
    """The file can't be training data.  key: of the words that say why and what to do, without `upload.`."""

    def __init__(self, key: str, status: int = 422, **values: Any) -> None:
        super().__init__(key)
        self.key, self.status, self.values = key, status, values

    @property
    def text(self) -> str:
        return t(f"upload.{self.key}", **self.values)
