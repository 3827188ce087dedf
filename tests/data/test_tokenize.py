"""Rows become examples: no row is lost, cut or left untrained without being told."""

import json

import pytest

from autotrain.errors import DataError

CHAT = [{"role": "user", "content": "what is two plus two?"}, {"role": "assistant", "content": "four"}]
NO_ANSWER = [{"role": "user", "content": "hello"}]


def decoded(tokenizer, example, *, trained):
    (segment,) = example.segments
    return tokenizer.decode(segment.ids[segment.trained] if trained else segment.ids)


def test_defect_13_conversation_trains_on_the_assistant_only(load, write, tokenizer):
    store, _ = load(write("a.jsonl", [{"messages": CHAT}]))
    whole = "<|im_start|>user\nwhat is two plus two?<|im_end|>\n<|im_start|>assistant\nfour<|im_end|>\n"
    assert decoded(tokenizer, store[0], trained=False) == whole
    assert decoded(tokenizer, store[0], trained=True) == "four<|im_end|>\n"


def test_train_on_prompt_trains_on_everything(load, write):
    store, _ = load(write("a.jsonl", [{"messages": CHAT}]), train_on_prompt=True)
    assert store.num_trained[0] == store.num_tokens[0] - 1  # nothing predicts the first token


def test_prompt_isnt_trained_on_and_the_answer_ends_with_eos(load, write, tokenizer):
    path = write("a.jsonl", [{"prompt": "two plus two is ", "completion": "four"}])
    store, _ = load(path)
    assert decoded(tokenizer, store[0], trained=False) == "two plus two is four</s>"
    assert decoded(tokenizer, store[0], trained=True) == "four</s>"
    store, _ = load(path, train_on_prompt=True)
    assert store.num_trained[0] == store.num_tokens[0] - 1


@pytest.mark.parametrize("text", ["the fox", "the fox</s>", "the fox</s></s>"])
def test_text_ends_with_exactly_one_eos(load, write, tokenizer, text):
    store, _ = load(write("a.jsonl", [{"text": text}]))
    assert decoded(tokenizer, store[0], trained=False) == "the fox</s>"


@pytest.mark.parametrize("text", ["the fox", "<s>the fox"])
def test_defect_13_no_double_bos(load, write, make_tokenizer, around, text):
    tokenizer = make_tokenizer(bos="<s>")
    store, _ = load(write("a.jsonl", [{"text": text}]), loaded=around(tokenizer))
    assert decoded(tokenizer, store[0], trained=False) == "<s>the fox</s>"


@pytest.mark.parametrize(("add_eos_token", "expected"), [(True, "the fox</s>the dog</s>"), (False, "the foxthe dog")])
def test_default_joins_texts_with_eos_as_told(load, write, tokenizer, add_eos_token, expected):
    path = write("a.jsonl", [{"text": "the fox"}, {"text": "the dog"}])
    store, _ = load(path, trainer="default", add_eos_token=add_eos_token)
    assert len(store) == 1
    assert decoded(tokenizer, store[0], trained=False) == expected


def test_default_keeps_the_tail_and_loses_no_token(load, write, tokenizer):
    texts = [f"the quick fox {number} jumps" for number in range(20)]
    store, report = load(write("a.jsonl", [{"text": text} for text in texts]), trainer="default", block_size=16)
    joined = "".join(tokenizer.decode(store[index].segments[0].ids) for index in range(len(store)))
    assert joined == "".join(f"{text}</s>" for text in texts)
    assert all(length == 16 for length in store.num_tokens[:-1])
    assert report.counts()["train"]["rows_out"] == 20


@pytest.mark.parametrize("trainer", ["default", "sft"])
@pytest.mark.parametrize("num_rows", [1, 3])
def test_issues_764_827_567_397_few_rows_train(load, write, trainer, num_rows):
    store, _ = load(write("a.jsonl", [{"text": "the fox"}] * num_rows), trainer=trainer)
    assert int(store.num_trained.sum()) > 0


def test_a_lone_last_token_is_reported(load, write, tokenizer):
    length = len(tokenizer("the fox")["input_ids"])
    store, report = load(write("a.jsonl", [{"text": "the fox"}]), trainer="default", add_eos_token=True, block_size=length)
    assert store.num_tokens.tolist() == [length]
    assert report.counts()["train"]["tokens_cut"] == 1


def test_long_rows_are_cut_at_the_end_and_counted(load, write, tmp_path):
    path = write("a.jsonl", [{"text": "the quick brown fox " * 20}, {"text": "short"}])
    store, report = load(path, block_size=10)
    assert store.num_tokens[0] == 10
    counts = report.counts()["train"]
    assert (counts["rows_in"], counts["rows_out"], counts["rows_cut"]) == (2, 2, 1)
    report.write(tmp_path / "rows_left_out.jsonl")
    (entry,) = map(json.loads, (tmp_path / "rows_left_out.jsonl").read_text().splitlines())
    assert (entry["file"], entry["line"], entry["what"], entry["tokens_kept"]) == (str(path), 1, "cut", 10)
    assert entry["tokens_cut"] == counts["tokens_cut"] > 0


def test_row_whose_answer_is_cut_away_is_left_out(load, write):
    long = [{"role": "user", "content": "the quick brown fox " * 20}, {"role": "assistant", "content": "four"}]
    store, report = load(write("a.jsonl", [{"messages": long}, {"messages": CHAT}]), block_size=40)
    assert len(store) == 1
    assert report.num_left_out("train", "nothing to train on after the cut") == 1


def test_conversation_without_an_assistant_is_left_out(load, write):
    path = write("a.jsonl", [{"messages": NO_ANSWER}, {"messages": CHAT}])
    store, report = load(path)
    assert (len(store), report.counts()["train"]["left_out"]) == (1, {"no assistant turn": 1})
    store, report = load(path, train_on_prompt=True)
    assert len(store) == 2


def test_malformed_rows_are_refused_with_their_number_and_the_first_lines(load, write):
    rows = [{"messages": CHAT}] * 10 + [{"messages": "text"}] * 7
    with pytest.raises(DataError) as refused:
        load(write("a.jsonl", rows))
    message = str(refused.value)
    assert "7 rows can't be used" in message
    assert [f"a.jsonl:{line}:" in message for line in range(10, 17)] == [False, *[True] * 5, False]
    assert "and 2 more" in message
    assert "skip_bad_rows: true" in message


def test_skip_bad_rows_leaves_them_out_and_lists_them(load, write, tmp_path):
    path = write("a.jsonl", json.dumps({"messages": CHAT}) + '\n{"messages": "text"}\n{"messages"\n')
    store, report = load(path, skip_bad_rows=True)
    counts = report.counts()["train"]
    assert (len(store), counts["rows_in"], counts["rows_out"], counts["left_out"]) == (1, 3, 1, {"malformed": 2})
    report.write(tmp_path / "out.jsonl")
    assert [json.loads(line)["line"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [2, 3]


def test_roles_that_the_template_refuses_are_bad_rows(load, write, tokenizer, around):
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }}"
        "{% if m.role == 'x' %}{{ raise_exception('x is out') }}{% endif %}{% endfor %}"
    )
    with pytest.raises(DataError, match=r"1 row can't be used:\n.*a\.jsonl:2: the chat template refuses .*: x is out"):
        load(
            write("a.jsonl", [{"messages": CHAT}, {"messages": [{"role": "x", "content": "?"}, *CHAT]}]),
            loaded=around(tokenizer),
        )


def test_no_row_left_says_why(load, write):
    with pytest.raises(
        DataError, match=r"no row is left to train on, of 2 \(2 no assistant turn\); the first: .*a\.jsonl:1"
    ):
        load(write("a.jsonl", [{"messages": NO_ANSWER}] * 2))


def test_conversation_for_the_default_trainer_ends_once(load, write, tokenizer, around):
    tokenizer.chat_template = "{% for m in messages %}{{ m.role + ': ' + m.content + eos_token + '\n' }}{% endfor %}"
    store, _ = load(write("a.jsonl", [{"messages": CHAT}]), trainer="default", loaded=around(tokenizer))
    assert decoded(tokenizer, store[0], trained=False) == "user: what is two plus two?</s>\nassistant: four</s>\n"


def test_rows_beyond_one_window_keep_their_order_and_lines(load, write, tokenizer):
    store, report = load(write("a.jsonl", [{"text": f"{number}"} for number in range(2500)]))
    assert len(store) == report.counts()["train"]["rows_in"] == 2500
    assert [decoded(tokenizer, store[index], trained=False) for index in (0, 999, 1000, 2499)] == [
        "0</s>", "999</s>", "1000</s>", "2499</s>"
    ]  # fmt: skip
    assert store.origin(2499).line == 2500
