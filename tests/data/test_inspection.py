"""What is trained on can be seen."""

from autotrain.data.inspection import inspect_rows


def test_trained_tokens_are_marked(load, write, tokenizer):
    turns = [{"role": "user", "content": "🦊?"}, {"role": "assistant", "content": "é fox"}]
    store, _ = load(write("a.jsonl", [{"messages": turns}] * 3))
    rows = inspect_rows(store, tokenizer, 2)
    assert [row.origin.line for row in rows] == [1, 2]
    assert (
        "".join(text for text, _ in rows[0].pieces)
        == "<|im_start|>user\n🦊?<|im_end|>\n<|im_start|>assistant\né fox<|im_end|>\n"
    )
    assert "".join(text for text, is_trained in rows[0].pieces if is_trained) == "é fox<|im_end|>\n"
    assert rows[0].num_trained == int(store.num_trained[0])
