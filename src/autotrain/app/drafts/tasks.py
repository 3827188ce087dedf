"""What a model can be taught, and the columns that each method needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

TEXT, PAIR, LABELLED = "text", "pair", "labelled"


@dataclass(frozen=True)
class Task:
    """trainer: of the parameters.  data: kind of rows.  columns: fields of column_mapping, those in `optional` may be empty.

    is_common: shown first.  The words are `new.task_<trainer>`, `_what` and `_data`.
    """

    trainer: str
    data: str
    columns: tuple[str, ...]
    optional: tuple[str, ...] = ()
    is_common: bool = True


_PAIRS = ("prompt_text_column", "text_column", "rejected_text_column")
TASKS: Mapping[str, Task] = MappingProxyType(
    {
        one.trainer: one
        for one in (
            Task("sft", TEXT, ("text_column", "prompt_text_column"), ("prompt_text_column",)),
            Task("default", TEXT, ("text_column",)),
            Task("dpo", PAIR, _PAIRS, ("prompt_text_column",)),
            Task("orpo", PAIR, _PAIRS, ("prompt_text_column",)),
            Task("kto", LABELLED, ("prompt_text_column", "text_column", "label_column"), ("prompt_text_column",)),
            Task("reward", PAIR, _PAIRS, ("prompt_text_column",)),
            Task("simpo", PAIR, _PAIRS, ("prompt_text_column",), is_common=False),
            Task("ipo", PAIR, _PAIRS, ("prompt_text_column",), is_common=False),
            Task("cpo", PAIR, _PAIRS, ("prompt_text_column",), is_common=False),
        )
    }
)
# What the worker says that data fit, by the trainer it tried; and what else is trained on such data.
KIND_OF_TRIED: Mapping[str, str] = MappingProxyType({"sft": TEXT, "dpo": PAIR, "kto": LABELLED})
FIRST_OF_KIND: Mapping[str, str] = MappingProxyType({TEXT: "sft", PAIR: "dpo", LABELLED: "kto"})
