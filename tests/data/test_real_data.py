"""Real data through the embedded model's tokenizer: every row is accounted for, every id is what inference gives."""

import json

import numpy as np
import pytest

from autotrain.data.lengths import Lengths
from autotrain.data.report import RowsReport
from autotrain.data.samples import open_split
from autotrain.data.tokenize import load_examples
from autotrain.trainers.clm.params import LLMTrainingParams

LENGTHS = Lengths(1024, (1024,), 2048)


def load(path, loaded, split="train", **fields):
    params = LLMTrainingParams(data_path=str(path), valid_split="valid", **{"trainer": "sft", **fields})
    source = open_split(params, split)
    report = RowsReport()
    return load_examples(params, source, loaded, LENGTHS, report), report.counts()[split]


def test_chat_ids_are_those_of_apply_chat_template_and_masks_those_of_the_prompt(shared_data, smollm2):
    store, counts = load(shared_data / "chat", smollm2, "valid")
    assert (len(store), counts["rows_in"], counts["rows_out"]) == (99, 99, 99)
    lines = (shared_data / "chat" / "valid.jsonl").read_text(encoding="utf-8").splitlines()
    for index, line in enumerate(lines):
        messages = json.loads(line)["messages"]
        (segment,) = store[index].segments
        render = smollm2.tokenizer.apply_chat_template
        assert segment.ids.tolist() == render(messages, tokenize=True, return_dict=False)
        num_prompt = len(render(messages[:-1], tokenize=True, add_generation_prompt=True, return_dict=False))
        assert np.flatnonzero(segment.trained).tolist() == list(range(num_prompt, len(segment.ids)))


@pytest.mark.parametrize("file", ["raw/alpaca_en_demo.json", "raw/glaive_toolcall_en_demo.json", "raw/c4_demo.jsonl"])
def test_raw_sets_are_recognised_and_accounted_for(shared_data, smollm2, file):
    store, counts = load(shared_data / file, smollm2)
    assert counts["rows_in"] == counts["rows_out"] + sum(counts["left_out"].values())
    assert len(store) == counts["rows_out"] >= 299
    assert "malformed" not in counts["left_out"]


def test_default_trainer_keeps_every_token_of_the_plays(shared_data, smollm2):
    store, counts = load(shared_data / "text", smollm2, "valid", trainer="default")
    rows = [json.loads(line)["text"] for line in (shared_data / "text" / "valid.jsonl").read_text().splitlines()]
    expected = sum(len(ids) + 1 for ids in smollm2.tokenizer(rows)["input_ids"])
    assert int(store.num_tokens.sum()) == expected
    assert counts["rows_out"] == len(rows)


@pytest.mark.slow
def test_memory_of_the_store_is_flat(tmp_path, tokenizer, around):
    import tracemalloc

    path = tmp_path / "big.jsonl"
    with path.open("w") as file:
        for number in range(200_000):
            # Of words that are kept to be looked up there is a bound of its own.
            file.write(json.dumps({"text": f"row {number % 1000} " + "the fox jumps " * 10}) + "\n")
    tracemalloc.start()
    store, _ = load(path, around(tokenizer))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(store) == 200_000
    assert peak < 20e6
    store.close()
