"""What the steps have in common."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autotrain.app.components.field import Field

if TYPE_CHECKING:
    from autotrain.app.pages.new.wizard import Wizard


@dataclass
class Seen:
    """What workers said of the draft's data, so that a step that is opened again needn't ask again.

    preview, amounts: their answers; preview_of, amounts_of: the parameters that they are about, as JSON.
    """

    preview: dict[str, Any] | None = None
    preview_of: str = ""
    amounts: dict[str, Any] | None = None
    amounts_of: str = ""


@dataclass
class Step:
    """Drawn when it is made.  fields: by the parameter that they set."""

    wizard: "Wizard"
    fields: dict[str, Field] = field(default_factory=dict)

    async def problems(self) -> dict[str, str]:
        """What keeps the user from going on: field -> sentence."""
        return {}

    def show_problems(self, problems: dict[str, str]) -> None:
        """Each beside its field, the first of them in focus."""
        for name, one in self.fields.items():
            one.show_error(problems.get(name, ""))
        first = next((one for name, one in self.fields.items() if name in problems), None)
        if first is not None:
            first.focus()

    def own_problems(self) -> dict[str, str]:
        """Of the draft's problems, those of this step's fields, and those of rules on several."""
        found = self.wizard.checked().problems
        return {name: sentence for name, sentence in found.items() if name in self.fields}
