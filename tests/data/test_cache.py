"""Tokenized data are found again as long as what they were made from is the same, and are never trusted if broken."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from autotrain import log
from autotrain.data import cache, tokenize
from autotrain.errors import DataError
from autotrain.trainers.clm.params import LLMTrainingParams

ROWS = [
    {"messages": [{"role": "user", "content": f"say {n} foxes"}, {"role": "assistant", "content": "the fox " * (1 + n % 7)}]}
    for n in range(30)
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(cache.VARIABLE, "on")
    monkeypatch.setattr(cache, "MIN_EXAMPLES", 1)
    return tmp_path / "home" / "cache" / "data"


@pytest.fixture
def num_made(monkeypatch):
    """How often data were tokenized."""
    made, plain = [], tokenize.tokenize_split

    def count(*arguments, **options):
        made.append(1)
        return plain(*arguments, **options)

    monkeypatch.setattr(tokenize, "tokenize_split", count)
    return lambda: len(made)


def everything(loaded, tmp_path):
    """All that the rest of a run can see of a split."""
    store, report = loaded
    report.write(tmp_path / "rows.jsonl")
    examples = [
        [(s.ids.tolist(), s.trained.tolist(), s.parent, s.sequence) for s in store[index].segments]
        for index in range(len(store))
    ]
    return (
        examples,
        [str(store.origin(index)) for index in range(len(store))],
        (store.fingerprint, store.num_tokens.tolist(), store.num_trained.tolist()),
        report.counts(),
        report.first_rows("train", "empty"),
        (tmp_path / "rows.jsonl").read_text(),
    )


@pytest.mark.parametrize(
    "fields",
    [{}, {"trainer": "default"}, {"block_size": 20}, {"train_on_prompt": True}, {"packing": True}],
    ids=str,
)
def test_a_second_start_gives_the_same_and_reads_no_row(load, write, tmp_path, monkeypatch, num_made, fields):
    path = write("a.jsonl", [*ROWS, {"messages": []}])
    monkeypatch.setenv(cache.VARIABLE, "off")
    off = everything(load(path, **fields), tmp_path)
    monkeypatch.setenv(cache.VARIABLE, "on")
    cold = everything(load(path, **fields), tmp_path)
    warm = everything(load(path, **fields), tmp_path)
    assert off == cold == warm
    assert num_made() == 2


def test_pairs_are_kept_too(load_pairs, write, tmp_path, num_made):
    rows = [{"prompt": f"say {n}", "chosen": f"{n} foxes", "rejected": "dogs " * n} for n in range(1, 9)]
    path = write("a.jsonl", rows)
    assert everything(load_pairs(path), tmp_path) == everything(load_pairs(path), tmp_path)
    assert num_made() == 1


def test_another_file_template_option_or_tokenizer_is_made_anew(load, write, tokenizer, around, num_made, make_tokenizer):
    path = write("a.jsonl", ROWS)
    load(path)
    load(path, block_size=30)
    load(path, train_on_prompt=True)
    load(path, trainer="default")
    assert num_made() == 4
    write("a.jsonl", ROWS[1:])
    load(path)
    assert num_made() == 5
    tokenizer.chat_template = "{% for m in messages %}{{ m.role + ': ' + m.content + eos_token + '\n' }}{% endfor %}"
    load(path, loaded=around(tokenizer))
    assert num_made() == 6
    other = make_tokenizer(("<|im_start|>", "<|im_end|>", "<|more|>"))
    other.chat_template = tokenizer.chat_template
    load(path, loaded=around(other))
    assert num_made() == 7


def test_a_dated_template_is_rendered_anew_on_another_day(load, write, tokenizer, around, num_made):
    turns = "{% for m in messages %}{{ m.role + m.content }}{% endfor %}"
    tokenizer.chat_template = "{{ strftime_now('%Y-%m-%d') }}" + turns
    loaded = around(tokenizer)
    path = write("a.jsonl", ROWS)
    for day in (1, 1, 2):
        load(path, loaded=replace(loaded, day=date(2026, 5, day)), train_on_prompt=True)
    assert num_made() == 2


def test_settings_without_effect_on_tokens_change_nothing(load, write, num_made):
    path = write("a.jsonl", ROWS)
    load(path, lr=1e-3, epochs=2, seed=1)
    load(path, lr=1e-4, epochs=3, seed=2, project_name="other")
    assert num_made() == 1
    assert set(LLMTrainingParams.model_fields) >= cache._WITHOUT_EFFECT


BREAKS = {
    "a file cut short": lambda entry: os.truncate(entry / "ids", 100),
    "a file missing": lambda entry: (entry / "trained").unlink(),
    "a header cut short": lambda entry: os.truncate(entry / "header.json", 60),
    "a header changed": lambda entry: (entry / "header.json").write_text(
        json.dumps({**json.loads((entry / "header.json").read_text()), "fingerprint": "0"})
    ),
    "a header of another kind": lambda entry: (entry / "header.json").write_text("[]"),
    "no header": lambda entry: (entry / "header.json").unlink(),
}


@pytest.mark.parametrize("name", BREAKS)
def test_an_entry_that_is_broken_is_made_anew(load, write, tmp_path, folder, num_made, name):
    path = write("a.jsonl", ROWS)
    whole = everything(load(path), tmp_path)
    (entry,) = folder.iterdir()
    BREAKS[name](entry)
    assert everything(load(path), tmp_path) == whole
    assert everything(load(path), tmp_path) == whole
    assert num_made() == 2


def test_only_its_owner_can_read_what_is_kept(load, write, folder):
    load(write("a.jsonl", ROWS))
    (entry,) = folder.iterdir()
    assert [path.stat().st_mode & 0o777 for path in (folder, entry)] == [0o700, 0o700]
    assert {file.stat().st_mode & 0o777 for file in entry.iterdir()} == {0o600}


def test_switched_off_nothing_is_written(load, write, folder, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "off")
    load(write("a.jsonl", ROWS))
    assert not folder.exists()


def test_data_that_are_refused_leave_nothing(load, write, folder, num_made):
    path = write("a.jsonl", [*ROWS, {"messages": "text"}])
    for _ in range(2):
        with pytest.raises(DataError, match=r"a\.jsonl:31: not a conversation"):
            load(path)
    assert num_made() == 2
    assert not folder.exists()


def test_what_was_noticed_is_said_again(load, write, tokenizer, around, caplog):
    rows = [{**row, "tools": [{"name": "search", "parameters": {}}]} for row in ROWS]
    path = write("a.jsonl", rows)
    for _ in range(2):
        log._said.clear()
        caplog.clear()
        load(path)
        assert "the chat template has no place for tools" in caplog.text


def test_a_folder_that_cant_be_written_is_no_reason_to_stop(load, write, tmp_path, caplog):
    (tmp_path / "home").write_text("a file")
    store, _ = load(write("a.jsonl", ROWS))
    assert len(store) == 30
    assert "AUTOTRAIN_CACHE=off" in caplog.text


def test_the_oldest_entries_make_room(load, write, folder, monkeypatch):
    for number in range(3):
        load(write(f"{number}.jsonl", ROWS[number:]))
        time.sleep(0.02)
    load(write("0.jsonl", ROWS))  # used again
    oldest_first = sorted(folder.iterdir(), key=lambda entry: (entry / "header.json").stat().st_mtime)
    size = sum(file.stat().st_size for file in oldest_first[0].iterdir())
    monkeypatch.setattr(cache, "MAX_BYTES", 3 * size)
    (folder / ".tmp-old").mkdir()
    os.utime(folder / ".tmp-old", (0, 0))
    load(write("3.jsonl", ROWS[3:]))
    left = set(folder.iterdir())
    assert oldest_first[0] not in left
    assert set(oldest_first[1:]) < left
    assert len(left) == 3


def test_data_too_large_for_the_cache_are_used_all_the_same(load, write, folder, monkeypatch):
    monkeypatch.setattr(cache, "MAX_BYTES", 1000)
    store, _ = load(write("a.jsonl", ROWS))
    assert len(store) == 30
    assert list(folder.iterdir()) == []


# Takes a split that is kept, and keeps it under another key as soon as it is told to.
KEEP = """
import sys
from autotrain.data import cache
from autotrain.data.report import RowsReport
from autotrain.data.store import ExampleStore
cache.MIN_EXAMPLES = 1
given = cache.find(sys.argv[1]).store
store = ExampleStore()
for index in range(len(given)):
    store.append(given[index], given.origin(index))
print("ready", flush=True)
sys.stdin.readline()
kept = cache.keep("both", store, RowsReport(), ())
assert len(kept) == len(given) == 30
assert kept[0].num_tokens > 0
"""


def test_two_workers_at_once_each_get_the_data(load, write, folder):
    load(write("a.jsonl", ROWS))
    (entry,) = folder.iterdir()
    command = [sys.executable, "-c", KEEP, entry.name]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [worker.stdout.readline() for worker in workers] == ["ready\n", "ready\n"]
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    said = [worker.communicate(timeout=120)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert (folder / "both" / "header.json").is_file()
    assert not list(folder.glob(".tmp-*"))
