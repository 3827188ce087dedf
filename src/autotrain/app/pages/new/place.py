"""Step 5: where it runs: here, or on a rented machine with its price."""

import asyncio
from typing import TYPE_CHECKING, Any

from nicegui import ui

from autotrain.app.components.field import Choice, ChoiceField, SelectField
from autotrain.app.components.html import Tag
from autotrain.app.components.text import paragraph
from autotrain.app.machine import this_machine
from autotrain.app.pages.new.step import Step
from autotrain.app.words import t
from autotrain.app.words.format import size
from autotrain.cloud.hardware import HARDWARE, JOB_FLAVORS, JOBS, PRICES_DATE, SPACE_FLAVORS, SPACES, hourly_price

if TYPE_CHECKING:
    from autotrain.app.pages.new.wizard import Wizard

LOCAL = "local"
_FLAVORS = {SPACES: SPACE_FLAVORS, JOBS: JOB_FLAVORS}
# Chosen first: one GPU that most small models fit on.
_FIRST = "t4-small"


class PlaceStep(Step):
    def __init__(self, wizard: "Wizard") -> None:
        super().__init__(wizard)
        backend = wizard.draft.backend
        has_token = wizard.state.tokens.current() is not None
        self._here = Tag("p", t("new.place_asking"), class_="at-muted", role="status")
        choices = [
            Choice(LOCAL, t("new.place_here"), [t("new.place_here_what")]),
            Choice(JOBS, t("new.place_jobs"), [t("new.place_jobs_what")], is_free=has_token),
            Choice(SPACES, t("new.place_spaces"), [t("new.place_spaces_what")], is_free=has_token),
        ]
        self.fields["backend"] = ChoiceField("place", t("new.place_question"), choices, _kind(backend), self._kind_chosen)
        if not has_token:
            with ui.element("p").classes("at-row at-muted at-small"):
                Tag("span", t("new.place_token"))
                ui.link(t("frame.settings"), "/settings")
        self._room = ui.element("div").classes("at-column")
        self._draw()
        ui.timer(0, self._say_what_is_here, once=True)

    async def _say_what_is_here(self) -> None:
        machine = await asyncio.to_thread(this_machine)
        if self.wizard.is_gone:
            return
        gpus = ", ".join(f"{gpu.name} ({size(gpu.memory_bytes)})" for gpu in machine.gpus)
        memory = size(machine.memory_bytes) if machine.memory_bytes else "?"
        said = t("new.place_this", cores=machine.num_cores, memory=memory, gpu=gpus or t("new.no_gpu"))
        self._here.text = said if gpus else f"{said} {t('new.place_slow')}"

    def _draw(self) -> None:
        self._room.clear()
        kind = _kind(self.wizard.draft.backend)
        if kind == LOCAL:
            return
        with self._room:
            options = {kind + name: _described(kind + name) for name in _FLAVORS[kind]}
            SelectField(
                "machine",
                t("new.machine"),
                options,
                self.wizard.draft.backend,
                self._machine_chosen,
                hint=t("new.price_date", date=PRICES_DATE),
            )
            paragraph(t("new.place_uploads")).classes("at-small at-muted")

    async def _kind_chosen(self, kind: Any) -> None:
        if kind in (LOCAL, *_FLAVORS):
            self.wizard.set(backend=kind if kind == LOCAL else kind + _FIRST)
            self._draw()

    async def _machine_chosen(self, backend: Any) -> None:
        if _kind(str(backend)) != LOCAL:
            self.wizard.set(backend=str(backend))

    async def problems(self) -> dict[str, str]:
        is_away = _kind(self.wizard.draft.backend) != LOCAL
        if is_away and self.wizard.state.tokens.current() is None:
            return {"backend": t("new.place_token")}
        return {}


def _kind(backend: str) -> str:
    return next(
        (kind for kind in _FLAVORS if backend.startswith(kind) and backend.removeprefix(kind) in _FLAVORS[kind]), LOCAL
    )


def _described(backend: str) -> str:
    kind = _kind(backend)
    machine = HARDWARE[backend.removeprefix(kind)]
    return f"{machine.name}: {machine.description} – {price_text(backend)}"


def price_text(backend: str) -> str:
    price = hourly_price(backend)
    return (
        t("new.price_unknown")
        if price is None
        else t("new.price_free")
        if price == 0
        else t("new.price", usd=f"{price:.2f}")
    )


def is_away(backend: str) -> bool:
    """Whether it runs on a rented machine."""
    return _kind(backend) != LOCAL
