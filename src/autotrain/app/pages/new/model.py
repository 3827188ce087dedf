"""Step 2: the model that is taught: one that is here, or one of the hub."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nicegui import ui

from autotrain.app.components.field import Choice, ChoiceField, TextField
from autotrain.app.components.html import Tag
from autotrain.app.components.text import paragraph
from autotrain.app.drafts.models import Offer, check_model, offered_models, search_hub
from autotrain.app.pages.new.step import Step
from autotrain.app.words import as_said, t
from autotrain.app.words.format import number
from autotrain.errors import AutoTrainError

if TYPE_CHECKING:
    from autotrain.app.pages.new.wizard import Wizard

_HUB = "model-hub"


class ModelStep(Step):
    """Cards for what is here, a search for the rest; the field under both says what is chosen, and takes any name."""

    def __init__(self, wizard: "Wizard") -> None:
        super().__init__(wizard)
        paragraph(t("new.model_intro")).classes("at-muted")
        state = wizard.state
        offers = offered_models(state.workspace, state.settings.custom_models)
        if not wizard.draft.model and offers:
            wizard.set(model=offers[0].name)
        chosen = wizard.draft.model
        self._cards: list[ChoiceField] = []
        self._offer("model-here", "new.model_here", offers)
        with ui.element("form").classes("at-row at-search") as form:
            with ui.element("div").classes("at-grow"):
                self._query = TextField(
                    "hub-search", t("new.model_search"), "", self._typed, hint=t("new.model_search_hint")
                )
            Tag("button", t("new.search"), type="submit", class_="at-button")
        form.on(
            "submit", self._search, js_handler="(event) => { event.preventDefault(); emit(event.target.elements[0].value) }"
        )
        self._found = ui.element("div")
        self.fields["model"] = self._name = TextField(
            "model", t("new.model_name"), chosen, self._named, hint=t("new.model_name_hint")
        )

    def _offer(self, name: str, legend: str, offers: Sequence[Offer]) -> None:
        """Cards, of which the one that is chosen now is marked."""
        if offers:
            chosen = self.wizard.draft.model
            self._cards.append(ChoiceField(name, t(legend), [_choice(one) for one in offers], chosen, self._picked))

    def _mark(self, name: str) -> None:
        """A card that looks chosen and isn't couldn't be chosen."""
        for cards in self._cards:
            cards.show(name)

    async def _typed(self, text: Any) -> None:
        self._query.show_error("")

    async def _picked(self, name: Any) -> None:
        self.wizard.set(model=str(name))
        self._name.show(str(name))
        self._name.show_error("")
        self._mark(str(name))

    async def _named(self, name: Any) -> None:
        self.wizard.set(model=str(name).strip())
        self._mark(self.wizard.draft.model)
        self.show_problems(self.own_problems())

    async def _search(self, event: Any) -> None:
        text = str(event.args or "").strip()
        if not text:
            return
        self._found.clear()
        with self._found:
            paragraph(t("new.searching")).props("role=status")
        try:
            offers, problem = await search_hub(text, self.wizard.state.tokens.current()), ""
        except AutoTrainError as error:
            offers, problem = [], as_said(error)
        if self.wizard.is_gone:
            return
        self._found.clear()
        self._cards = [cards for cards in self._cards if cards.name != _HUB]
        self._query.show_error(problem)
        with self._found:
            self._offer(_HUB, "new.model_found", offers)
            if not offers and not problem:
                paragraph(t("new.model_none")).props("role=status")

    async def problems(self) -> dict[str, str]:
        found = self.own_problems()
        return found or await self._look()

    async def _look(self) -> dict[str, str]:
        """Whether the model can be had: a folder is opened, the hub is asked."""
        name = self.wizard.draft.model
        try:
            await check_model(name, self.wizard.state.tokens.current())
        except AutoTrainError as error:
            return {"model": as_said(str(error).removeprefix("base_model: "))}
        return {}


def _choice(offer: Offer) -> Choice:
    about = t(f"new.model_{offer.source}")
    if offer.downloads:
        about = t("new.model_downloads", count=number(offer.downloads))
    return Choice(offer.name, offer.title, [about])
