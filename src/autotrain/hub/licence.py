"""The licence of a model, as the front matter of its card says it, and where to look for a local model's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotrain.base_models import EMBEDDED

OTHER = "other"
_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Licence:
    """identifier: as the hub lists them, such as apache-2.0.  name, link: of one that it doesn't list (`other`)."""

    identifier: str
    name: str | None = None
    link: str | None = None

    @property
    def fields(self) -> dict[str, str]:
        """The lines of a card's front matter."""
        named = {"license": self.identifier, "license_name": self.name, "license_link": self.link}
        return {key: value for key, value in named.items() if value}


def licence_in(card: Mapping[str, Any], home: str | None = None) -> Licence | None:
    """The licence that a card's front matter names, None if it names none.

    home: address of the card's repository, from which a relative link is followed; None: such a link is left out.
    """
    said = card.get("license")
    if isinstance(said, list):
        said, names = OTHER, ", ".join(str(one) for one in said)
    else:
        names = card.get("license_name")
    if not isinstance(said, str) or not said.strip():
        return None
    return Licence(said.strip(), str(names) if names else None, _followed(card.get("license_link"), home))


def _followed(link: Any, home: str | None) -> str | None:
    if not isinstance(link, str) or not link:
        return None
    if link.startswith(("https://", "http://")):
        return link
    return f"{home}/blob/main/{link.lstrip('./')}" if home else None


def local_card(folder: Path) -> Mapping[str, Any]:
    """Front matter of the README.md in `folder`; empty where there is none that can be read."""
    import yaml

    try:
        found = _FRONT_MATTER.match((folder / "README.md").read_text(encoding="utf-8-sig"))
        fields = yaml.safe_load(found.group(1)) if found else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return fields if isinstance(fields, dict) else {}


def local_licence(name: str) -> Licence | None:
    """The licence of an embedded model, or of a local folder or GGUF file by the README.md beside it."""
    if name in EMBEDDED:
        return Licence(EMBEDDED[name][2])
    path = Path(name).expanduser()
    return licence_in(local_card(path.parent if path.is_file() else path)) if path.exists() else None
