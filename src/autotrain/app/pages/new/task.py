"""Step 1: what the model shall learn, in plain words, and what data that needs."""

from typing import TYPE_CHECKING, Any

from nicegui import ui

from autotrain.app.components.field import Choice, ChoiceField
from autotrain.app.components.html import Tag
from autotrain.app.components.text import paragraph
from autotrain.app.drafts.tasks import TASKS, Task
from autotrain.app.pages.new.step import Step
from autotrain.app.words import t

if TYPE_CHECKING:
    from autotrain.app.pages.new.wizard import Wizard


class TaskStep(Step):
    """Choosing another task takes the columns of the old one with it."""

    def __init__(self, wizard: "Wizard") -> None:
        super().__init__(wizard)
        paragraph(t("new.task_intro")).classes("at-muted")
        chosen = wizard.draft.trainer
        common = [one for one in TASKS.values() if one.is_common or one.trainer == chosen]
        self.fields["trainer"] = ChoiceField(
            "trainer", t("new.task_question"), [_choice(one) for one in common], chosen, self._chosen
        )
        rest = [one for one in TASKS.values() if one not in common]
        with Tag("details"):
            Tag("summary", t("new.task_more"))
            ChoiceField("trainer-more", t("new.task_more_question"), [_choice(one) for one in rest], chosen, self._chosen)

    async def _chosen(self, trainer: Any) -> None:
        draft = self.wizard.draft
        if trainer not in TASKS or trainer == draft.trainer:
            return
        is_same = TASKS[trainer].data == TASKS[draft.trainer].data
        self.wizard.set(
            trainer=trainer,
            mapping=draft.mapping if is_same else {},
            is_mapped=draft.is_mapped if is_same else False,
            as_chat=False,
        )
        # One group of buttons in two places: what was chosen in the other goes out.
        ui.run_javascript(
            "document.querySelectorAll('.at-step input[type=radio]')"
            f".forEach((one) => {{ one.checked = one.value === '{trainer}'; }})"
        )


def _choice(task: Task) -> Choice:
    name = task.trainer
    return Choice(name, t(f"new.task_{name}"), [t(f"new.task_{name}_what"), t(f"new.task_{name}_data")])
