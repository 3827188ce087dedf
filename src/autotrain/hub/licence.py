"""The licence of a model, as the front matter of its card says it, and where to look for a local model's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotrain.base_models import EMBEDDED

OTHER = "other"
# What the hub accepts as `license`; another one is `other` with its name beside (hf.co/docs/hub/repositories-licenses).
_LISTED = frozenset(
    """apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl
    lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0
    openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
    fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma unknown
    other""".split()
)
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
    identifier = said.strip().lower()
    if identifier not in _LISTED:
        identifier, names = OTHER, names or said.strip()
    return Licence(identifier, str(names) if names else None, _followed(card.get("license_link"), home))


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
