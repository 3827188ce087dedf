"""Real pairs through the embedded model's tokenizer: three forms of the same rows, one set of ids."""

import json

import pytest

from autotrain.base_models import find_model
from autotrain.data.lengths import Lengths
from autotrain.data.report import RowsReport
from autotrain.data.samples import open_split
from autotrain.data.tokenize import load_examples
from autotrain.data.tokenizer import load_tokenizer
from autotrain.trainers.clm.params import LLMTrainingParams

LENGTHS = Lengths(8192, (8192,), 8192)


def load(path, split="train", **fields):
    fields = {"trainer": "dpo", **fields}
    if fields["trainer"] != "reward":
        fields = {"max_prompt_length": 8000, "model_max_length": 8192, **fields}
    params = LLMTrainingParams(model="smollm2-135m", data_path=str(path), valid_split="valid", **fields)
    source = open_split(params, split, "pair")
    loaded = load_tokenizer(params, find_model(params.model), needs_chat=source.is_conversation)
    report = RowsReport()
    return load_examples(params, source, loaded, LENGTHS, report), report.counts()[split], loaded.tokenizer


@pytest.mark.parametrize("trainer", ["dpo", "reward"])
def test_prompt_plus_answer_are_the_ids_of_apply_chat_template(shared_data, trainer):
    store, counts, tokenizer = load(shared_data / "preference", "valid", trainer=trainer)
    assert (len(store), counts["rows_in"], counts["rows_cut"]) == (30, 30, 0)
    lines = (shared_data / "preference" / "valid.jsonl").read_text(encoding="utf-8").splitlines()
    for index, line in enumerate(lines):
        prompt, *answers = (segment.ids.tolist() for segment in store[index].segments)
        dialogues = [json.loads(line)[name] for name in ("chosen", "rejected")]
        render = tokenizer.apply_chat_template
        assert prompt == render(dialogues[0][:-1], tokenize=True, add_generation_prompt=True, return_dict=False)
        for answer, dialogue in zip(answers, dialogues, strict=True):
            assert prompt + answer == render(dialogue, tokenize=True, return_dict=False)


def test_rows_as_messages_and_as_written_out_text_give_the_same_trees(shared_data):
    as_turns, _, _ = load(shared_data / "preference")
    as_text, _, _ = load(shared_data / "preference_text")
    assert len(as_turns) == len(as_text) == 270
    for index in range(270):
        for one, other in zip(as_turns[index].segments, as_text[index].segments, strict=True):
            assert one.ids.tolist() == other.ids.tolist()
            assert one.trained.tolist() == other.trained.tolist()


def test_the_sharegpt_form_gives_the_same_first_row(shared_data):
    store, counts, _ = load(shared_data / "raw" / "dpo_en_demo.json")
    as_turns, _, _ = load(shared_data / "preference")
    assert (len(store), counts["rows_in"], counts["left_out"]) == (300, 300, {})
    first = [segment.ids.tolist() for segment in store[0].segments]
    assert first == [segment.ids.tolist() for segment in as_turns[0].segments]


def test_every_row_is_accounted_for_at_the_default_lengths(shared_data):
    store, counts, _ = load(shared_data / "preference", max_prompt_length=128)
    assert counts["rows_out"] == len(store) == 270
    assert counts["rows_cut"] > 0
    assert max(len(store[index].segments[0].ids) for index in range(270)) == 128
