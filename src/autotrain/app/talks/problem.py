"""Why a model can't be asked, in the language of whoever wanted to."""

from autotrain.app.words import t
from autotrain.errors import RunFolderError

# Each has words `talk.<kind>`.
KINDS = (
    "waiting",
    "cloud",
    "gone",
    "link",
    "unfinished",
    "no_base",
    "base_gone",
    "memory",
    "killed",
    "crashed",
    "put_away",
    "busy",
    "failed",
    "writes",
    "scores",
)


class TalkProblem(RunFolderError):
    """kind: one of KINDS.  values: for its words."""

    def __init__(self, kind: str, **values: object) -> None:
        super().__init__(kind)
        self.kind = kind
        self.values = values

    def __str__(self) -> str:
        return t(f"talk.{self.kind}", **self.values)
