"""What came out, in a sentence: whether it got better."""

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from autotrain.app.components.panels import ACCURACY, EVAL
from autotrain.app.components.text import heading, paragraph
from autotrain.app.words import t
from autotrain.app.words.format import number


def outcome_card(stage: str, facts: Mapping[str, Any]) -> None:
    """Nothing for a run that hasn't finished.  facts: run.json."""
    results = facts.get("results")
    if stage != "finished" or not isinstance(results, Mapping):
        return
    sentences = [verdict(results), *pairs(results)]
    with ui.element("section").classes("at-card at-outcome").classes("" if is_better(results) else "at-outcome-doubtful"):
        heading(t("outcome.title"))
        for sentence in sentences:
            paragraph(sentence)


def is_better(results: Mapping[str, Any]) -> bool:
    """False too where there was no validation."""
    before, after = results.get("eval_loss_before"), results.get("eval_loss")
    return bool(before and after and after < before)


def verdict(results: Mapping[str, Any]) -> str:
    """results: of run.json."""
    before, after = results.get("eval_loss_before"), results.get("eval_loss")
    if before and after:
        change = f"{100 * (after - before) / before:+.0f} %"
        kind = "better" if is_better(results) else "worse"
        return t(f"outcome.{kind}", before=number(before), after=number(after), change=change)
    first, last = results.get("train_loss_first"), results.get("train_loss_last")
    if first is None or last is None:
        return t("outcome.done")
    return t("outcome.unknown", before=number(first), after=number(last))


def pairs(results: Mapping[str, Any]) -> list[str]:
    """How often the better answer of a pair is preferred, where pairs were trained on."""
    share = (results.get("validation") or {}).get(EVAL + ACCURACY)
    return [] if share is None else [t("outcome.pairs", share=f"{100 * share:.0f} %")]
