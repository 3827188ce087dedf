"""What will be trained on, printed row by row, without loading a weight."""

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from autotrain import log, objectives
from autotrain.config.notices import ineffective
from autotrain.data.inspection import inspect_rows
from autotrain.trainers.clm.inspect.amounts import measure
from autotrain.trainers.clm.inspect.serve import show_first
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.prepare import find_base, prepare_data
from autotrain.trainers.clm.quiet import quiet_libraries


def inspect(params: LLMTrainingParams, num_rows: int) -> None:
    """Print the first rows with the trained tokens marked: bold green on a terminal, [[...]] elsewhere."""
    quiet_libraries()
    for line in ineffective(params):
        log.notice(line)
    data = prepare_data(params, find_base(params), objectives.build(params.trainer, params.model_dump()))
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    for row in inspect_rows(data.train, data.tokenizer.tokenizer, num_rows):
        heading = f"--- {row.origin}: {row.num_tokens} tokens, {row.num_trained} of them trained on"
        console.print(heading, style="dim", markup=False)
        console.print(_marked(row.pieces, console.is_terminal))
    data.close()


def inspect_as_json(params: LLMTrainingParams, num_rows: int) -> None:
    """Print one JSON object: the preview of the first rows, and, if nothing stands in the way, `amounts` of all of them."""
    quiet_libraries()
    shown = show_first(params, num_rows)
    mapped = params.model_copy(update=shown.get("suggested") or {})
    amounts = None if shown["problem"] else measure(mapped)
    print(json.dumps({**shown, "amounts": amounts}, ensure_ascii=False))  # noqa: T201


def _marked(pieces: Sequence[tuple[str, bool]], has_colours: bool) -> Text:
    text, was_trained = Text(), False
    for piece, is_trained in [*pieces, ("", False)]:
        if is_trained != was_trained and not has_colours:
            text.append("[[" if is_trained else "]]")
        text.append(piece, style="bold green" if is_trained and has_colours else "")
        was_trained = is_trained
    return text
