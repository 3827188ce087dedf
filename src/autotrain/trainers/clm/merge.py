"""A LoRA adapter becomes a plain model in a folder of its own, with a card, and goes to the hub if asked for."""

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotrain import log
from autotrain.errors import HubError, Interrupted, PushError
from autotrain.hub.push import push_run
from autotrain.hub.repo import Target
from autotrain.run_folder import CURVE_FILE, RUN_FILE, held, read_json
from autotrain.trainers.clm.params import PARAMS_FILE, LLMTrainingParams


@dataclass(frozen=True)
class MergeRequest:
    """An adapter merged into its base.  repo_id: where the merged model goes on the hub, None if it stays here."""

    adapter_path: str
    output_folder: str
    base_model_path: str | None = None
    pad_to_multiple_of: int | None = None
    repo_id: str | None = None


def merge(fields: dict[str, Any]) -> None:
    """Merge as `fields`, those of a MergeRequest, say.  Raises ModelError, RunFolderError, TrainingError or PushError."""
    from autotrain.base_models import find_model, is_reward_model
    from autotrain.output.bases import read_adapter
    from autotrain.output.merge import merge_adapter
    from autotrain.output.targets import find_target
    from autotrain.trainers.clm.merged import note_merged

    request = MergeRequest(**fields)
    folder, output = Path(request.adapter_path), Path(request.output_folder)
    read_adapter(folder)  # a folder without one is refused before anything is loaded
    base = find_model(request.base_model_path) if request.base_model_path else find_target(str(folder)).model
    log.info(f"merging the adapter in {folder} into {base.path} …")
    with held(folder):
        token = os.environ.get("HF_TOKEN")
        merge_adapter(base, folder, output, token=token, pad_to_multiple_of=request.pad_to_multiple_of)
        if folder.resolve() == output.resolve():
            note_merged(folder)
        else:
            _write_card(folder, output)
    trial = f"autotrain score {output} --data FILE" if is_reward_model(output) else f"autotrain chat {output}"
    log.info(f"the merged model is in {output}; try it: {trial}")
    if request.repo_id:
        _push(output, Target(request.repo_id))


def _write_card(run: Path, output: Path) -> None:
    """The card of the run that the adapter is from, for the merged model; of an adapter from elsewhere nothing is known."""
    from autotrain.output.card import write_card

    values = read_json(run / PARAMS_FILE)
    if not values:
        log.notice(f"{output} gets no model card: {run} holds no {PARAMS_FILE} of the run that made the adapter")
        return
    if (run / CURVE_FILE).is_file():
        shutil.copyfile(run / CURVE_FILE, output / CURVE_FILE)
    params = LLMTrainingParams(**values).model_copy(update={"project_name": output.resolve().name})
    write_card(output, params, read_json(run / RUN_FILE))


def _push(output: Path, target: Target) -> None:
    from autotrain.hub.client import token_of

    here = f"the merged model is complete in {output.absolute()}"
    again = f"autotrain push {output} --repo {target.repo_id}"
    try:
        pushed = push_run(output, target, token_of())
    except HubError as error:
        raise PushError(f"merged, but not pushed: {error}. {here}; once that is mended: {again}") from error
    except KeyboardInterrupt as error:
        raise Interrupted(f"merged; the upload was interrupted: {here}; take it up again: {again}", signal.SIGINT) from error
    log.info(f"pushed: {pushed.url}, commit {pushed.commit}")
