"""What is said of a run that ended badly: the words fit what its worker said."""

import pytest

from autotrain.app.components.advice import kind_of_end
from autotrain.app.words.en.advice import WORDS

SAID = {
    "step 3: the loss is nan, its gradient's norm nan; training can't go on. Lower lr": "diverged",
    "out of memory, even with one row at a time; lower block_size, or set peft: true with quantization: int4": "memory",
    "its worker ended without saying why: it was killed, or the machine went down": "killed",
    "max_hours were over; the model so far was written": "time",
    "base_model: no folder models/none; give a folder with a model, a hub id, or one of smollm2-135m": "model",
    "data/train.jsonl:12: no messages": "data",
    "data.path: no file or folder data/none": "data",
    "no column 'prompt' in train.csv; found: question, answer. Set prompt_text_column.": "data",
    "[Errno 28] No space left on device": "disk",
    "push_to_hub: there is no token; log in with `hf auth login`, or set push_to_hub: false": "access",
    "base_model: acme/secret is gated: ask for access on its page": "access",
    "https://huggingface.co can't be reached": "network",
    "project_name: the folder mine holds a run already": "folder",
    "lr: must be above 0": "setting",
    "KeyError('x')": "other",
}


@pytest.mark.parametrize("reason", SAID)
def test_what_a_worker_says_is_told_in_the_fitting_words(reason):
    assert kind_of_end("failed", reason) == SAID[reason]


def test_each_end_has_words_for_what_it_is_and_what_to_do():
    kinds = {*SAID.values(), "interrupted", "gone", "stopped", "queue"}
    assert {f"advice.{kind}" for kind in kinds} | {f"advice.{kind}_do" for kind in kinds} | {"advice.said"} == WORDS.keys()


def test_a_run_that_goes_on_or_ended_well_needs_no_advice():
    assert [kind_of_end(stage, "") for stage in ("waiting", "starting", "training", "finishing", "finished", "paused")] == [
        ""
    ] * 6


def test_a_stopped_run_is_no_failure():
    assert kind_of_end("interrupted", "interrupted at step 4 of 9; saved, continue with --resume") == "interrupted"
    assert kind_of_end("stopped", "") == "stopped"
    assert kind_of_end("stopped", "it was taken out of the queue before it began") == "queue"
    assert kind_of_end("gone", "") == "gone"
