"""A run whose adapter was merged after training: its record and its card say so."""

from pathlib import Path

from autotrain.output.card import write_card
from autotrain.run_folder import RUN_FILE, read_json, write_json
from autotrain.trainers.clm.params import PARAMS_FILE, LLMTrainingParams


def note_merged(folder: Path) -> None:
    """Say in the run in `folder` that its model is whole now; nothing where no run is."""
    values, facts = read_json(folder / PARAMS_FILE), read_json(folder / RUN_FILE)
    if not values:
        return
    values["merge_adapter"] = True
    write_json(folder / PARAMS_FILE, values)
    write_card(folder, LLMTrainingParams(**values), facts)
