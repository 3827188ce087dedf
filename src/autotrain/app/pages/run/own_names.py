"""The user's names for files that were uploaded, instead of ours."""

import re

from autotrain.app.state import AppState
from autotrain.app.uploads import Refused

_UPLOADED = re.compile(r"(?:\S*/)?datasets/([0-9a-f]{16})(?:/(\w+)\.\w+)?")


def own_names(state: AppState, text: str) -> str:
    """`text` of a worker, which knows uploads by their folder."""

    def name(found: re.Match[str]) -> str:
        try:
            data = state.datasets.find(found[1])
        except Refused:
            return found[0]  # deleted meanwhile
        file = data.files.get(found[2] or "")
        return file.name if file else data.name

    return _UPLOADED.sub(name, text)
