"""Rows of a preview: as people read them, as the model is trained on them, and as they stand in the file."""

from typing import Any

from nicegui import ui

from autotrain.app.components.html import Tag
from autotrain.app.components.text import heading, paragraph
from autotrain.app.components.token_view import AVOIDED, LEARNT, Part, token_legend, token_view
from autotrain.app.words import t
from autotrain.app.words.format import number

_ROLES = frozenset({"system", "user", "assistant", "tool", "text", "prompt"})
_PARTS = frozenset({"prompt", "chosen", "rejected", "good", "bad"})
_MAX_CHARACTERS = 3000


def rows_as_people_read(preview: dict[str, Any]) -> None:
    for row in preview["rows"]:
        with ui.element("article").classes("at-example"):
            Tag("span", t("new.line", line=number(row["line"])), class_="at-muted at-small")
            for part in row["parts"]:
                _part(part)


def _part(part: dict[str, Any]) -> None:
    name = part["name"]
    with ui.element("div").classes("at-part").classes(f"at-part-{name}" if name in _PARTS else ""):
        if name in ("chosen", "rejected", "good", "bad"):
            Tag("span", t(f"new.part_{name}"), class_="at-part-name")
        for turn in part["turns"]:
            _turn(turn["role"], turn["text"])


def _turn(role: str, text: str) -> None:
    kind = role if role in _ROLES else "tool"
    with ui.element("div").classes(f"at-turn at-turn-{kind}"):
        Tag("span", t(f"new.role_{role}") if role in _ROLES else role, class_="at-turn-role")
        shown = text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + " …"
        Tag("div", shown, class_="at-said")


def rows_as_tokens(preview: dict[str, Any]) -> None:
    paragraph(t("new.tokens_hint")).classes("at-muted at-small")
    token_legend(compares=any(len(row["parts"]) > 1 for row in preview["tokens"]))
    for row in preview["tokens"]:
        counts = t("new.tokens", total=number(row["num_tokens"]), trained=number(row["num_trained"]))
        line = t("new.line", line=number(row["line"]))
        Tag("span", f"{line} · {counts}", class_="at-muted at-small")
        token_view([_tokens(part) for part in row["parts"]], f"{line} · {counts}")


def _tokens(part: dict[str, Any]) -> Part:
    name = part["name"]
    return t(f"new.part_{name}") if name else "", part["pieces"], AVOIDED if name == "rejected" else LEARNT


def raw_rows(preview: dict[str, Any]) -> None:
    """Where nothing was recognised: the cells, so that the user can say what is what."""
    columns = preview["columns"]
    with ui.element("section").classes("at-card"):
        heading(t("new.raw"))
        with (
            ui.element("div").classes("at-scroll").props(f'tabindex=0 role=group aria-label="{t("new.raw")}"'),
            Tag("table", class_="at-table"),
        ):
            with Tag("thead"), Tag("tr"):
                for name in columns:
                    Tag("th", name or t("new.bare"), scope="col")
            with Tag("tbody"):
                for cells in preview["cells"]:
                    with Tag("tr"):
                        for name in columns:
                            Tag("td", cells.get(name, ""))
