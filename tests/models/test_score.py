"""Reward models: where the score is read, what is trained, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForSequenceClassification,
    CohereConfig,
    CohereForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from autotrain.base_models import ModelSource
from autotrain.errors import ModelError
from autotrain.models.load import load_model
from autotrain.models.precision import BF16, FP32, Precision
from autotrain.models.score import ScorePolicy, choose_pad
from autotrain.trainers.clm.params import LLMTrainingParams

CPU = torch.device("cpu")
PAD = 7


def load(source: ModelSource, *, precision: Precision = FP32, seed: int = 1, rest: Any = None, **fields: Any) -> ScorePolicy:
    policy = load_model(
        LLMTrainingParams(trainer="reward", **fields), source,
        **{"vocabulary_size": 211, "new_token_ids": (), "quantization": None, **(rest or {})},
        device=CPU, precision=precision, seed=seed, head="score", pad_token_id=PAD,
    )  # fmt: skip
    assert isinstance(policy, ScorePolicy)
    return policy


def head_names(policy: ScorePolicy) -> list[str]:
    return [name for name in policy.trainable_state() if "score" in name]


@pytest.mark.parametrize("peft", [True, False])
def test_the_head_is_trained_and_kept_exactly_once(tiny_llama, saved, documents, peft: bool):
    source = saved(tiny_llama())
    policy = load(source, peft=peft).train()
    assert len(head_names(policy)) == 1
    policy(documents(9, 5)).values.sum().backward()
    trained = {name for name, parameter in policy.model.named_parameters() if parameter.grad is not None}
    assert set(head_names(policy)) <= trained
    state = policy.trainable_state()
    name = head_names(policy)[0]
    state[name] += 1.0
    expected = {key: value.clone() for key, value in state.items()}
    again = load(source, seed=2, peft=peft)  # a resumed run: another head, until the state is put back
    before = again(documents(9, 5)).values
    again.load_trainable_state(state)
    assert torch.equal(again.trainable_state()[name], expected[name])
    assert not torch.allclose(again(documents(9, 5)).values, before)


def test_the_same_seed_gives_the_same_head(tiny_llama, saved):
    source = saved(tiny_llama())
    heads = [load(source, seed=seed).trainable_state()["score.weight"] for seed in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


def test_a_base_with_one_score_keeps_its_head_and_other_heads_are_replaced(tiny_llama, saved, notices):
    config = tiny_llama().config
    for num_labels, is_kept in ((1, True), (3, False)):
        config.num_labels = num_labels
        base = LlamaForSequenceClassification(config)
        policy = load(saved(base))
        assert policy.pretrained.score.weight.shape == (1, 48)
        assert torch.equal(policy.pretrained.score.weight, base.score.weight) is is_kept
        assert bool(notices) is not is_kept
    assert "3 classes is replaced" in notices[0]


def test_scores_are_float32_though_the_rest_is_bfloat16(tiny_llama, saved, documents):
    source = saved(tiny_llama())
    exact, rounded = load(source), load(source, precision=BF16, peft=True)
    values = rounded(documents(9, 5)).values
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, exact(documents(9, 5)).values, rtol=0.1, atol=0.05)
    assert {p.dtype for n, p in rounded.named_parameters() if p.requires_grad} == {torch.float32}


def test_the_head_is_off_without_the_adapter_too(tiny_llama, saved, documents):
    policy = load(saved(tiny_llama()), peft=True)
    before = policy(documents(9)).values.detach()
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter += 0.1
    with policy.without_adapter():
        torch.testing.assert_close(policy(documents(9)).values, before)


def test_a_family_without_a_model_that_scores_is_refused_before_its_weights_are_read(saved):
    model = CohereForCausalLM(
        CohereConfig(vocab_size=50, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
    )
    source = saved(model)
    (Path(source.path) / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"cohere model.*another family.*llm-dpo"):
        load(source)


def test_weights_that_lack_more_than_the_head_are_refused(tiny_llama, saved):
    from safetensors.torch import load_file, save_file

    source = saved(tiny_llama())
    file = Path(source.path) / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks weights.*layers\.1\.mlp\.up_proj"):
        load(source)


@pytest.mark.parametrize("quantization", ["int4", "int8"])
def test_on_a_quantized_base_the_head_stays_whole_and_is_trained(tiny_llama, saved, documents, quantization: str):
    pytest.importorskip("bitsandbytes", reason="nothing quantizes without bitsandbytes (extra quant)")
    source = saved(tiny_llama(hidden_size=64, intermediate_size=128))
    policy = load(source, peft=True, rest={"quantization": quantization}).train()
    name = head_names(policy)[0]
    assert policy.trainable_state()[name].shape == (1, 64)
    policy(documents(9, 5)).values.sum().backward()
    assert dict(policy.model.named_parameters())[name].grad is not None


# The token to pad with


def make_tokenizer(
    *special: str, pad: str | None, eos: str = "</s>", template: str | None = None
) -> PreTrainedTokenizerFast:
    core = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=eos, pad_token=pad, bos_token="<s>")
    tokenizer.add_tokens([AddedToken(token, special=True) for token in special], special_tokens=True)
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize(
    ("special", "pad", "template", "chosen"),
    [
        (("<pad>",), "<pad>", None, "<pad>"),  # its own, which ends nothing
        (("<x>", "<|finetune_right_pad_id|>"), "</s>", None, "<|finetune_right_pad_id|>"),
        (("<x>", "<|reserved_1|>"), None, None, "<|reserved_1|>"),
        (("<x>", "<y>"), "</s>", "{{ '<x>' }}", "<y>"),  # one that the template doesn't write
        ((), "</s>", None, "<s>"),  # it begins texts and never ends them
    ],
)
def test_the_pad_token_ends_no_text(special: tuple[str, ...], pad: str | None, template: str | None, chosen: str):
    tokenizer = make_tokenizer(*special, pad=pad, template=template)
    assert tokenizer.convert_ids_to_tokens(choose_pad(tokenizer, ())) == chosen


def test_a_token_that_ends_turns_is_no_pad_token(notices):
    tokenizer = make_tokenizer("<|im_end|>", pad="<|im_end|>")
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tokenizer.convert_ids_to_tokens(choose_pad(tokenizer, (end,))) == "<s>"
    alone = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0}, unk_token="a")), eos_token="</s>")
    assert choose_pad(alone, ()) == alone.eos_token_id
    assert "at the token before it" in notices[0]


def test_performance_fault_3_a_chatml_reward_model_learns_what_is_read_later(
    tiny_llama: Callable[..., Any], saved: Callable[..., Any], tmp_path: Path
):
    """With <|im_end|> to pad, AutoTrain read the score inside the shared system turn: loss 0.6931, gradient 0."""
    from autotrain.data.batches import collate
    from autotrain.types import Example, Segment

    tokenizer = make_tokenizer("<|im_start|>", "<|im_end|>", pad="<|im_end|>", eos="<|im_end|>", template="<|im_start|>")
    start, end = (tokenizer.convert_tokens_to_ids(token) for token in ("<|im_start|>", "<|im_end|>"))
    pad = choose_pad(tokenizer, (end,))
    assert pad != end
    prompt = [start, 50, 51, end, start, 60, 61, end, start, 52]  # system and user turn, the answer's header
    answers = [[70, 71, 72, end], [80, end]]
    segments = [Segment(_ids(prompt), _marks(prompt, False))]
    segments += [Segment(_ids(answer), _marks(answer, True), 0, index) for index, answer in enumerate(answers)]
    batch = collate([Example(tuple(segments), num_sequences=2)])
    policy = load_model(
        LLMTrainingParams(trainer="reward"), saved(tiny_llama()), vocabulary_size=211, new_token_ids=(), device=CPU,
        precision=FP32, quantization=None, seed=1, head="score", pad_token_id=pad,
    )  # fmt: skip
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.05)
    for _ in range(5):
        optimizer.zero_grad()
        chosen, rejected = policy(batch).values
        loss = torch.nn.functional.softplus(rejected - chosen)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.6
    scores = policy(batch).values.detach()
    with policy.stock_attention():
        policy.pretrained.save_pretrained(tmp_path / "result")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "result")
    rows = [prompt + answer for answer in answers]
    width = max(map(len, rows))
    filling = [width - len(row) for row in rows]
    right = [(row + [pad] * count, [1] * len(row) + [0] * count) for row, count in zip(rows, filling, strict=True)]
    left = [([pad] * count + row, [0] * count + [1] * len(row)) for row, count in zip(rows, filling, strict=True)]
    for padded in (right, left):  # a user may pad either way
        ids, mask = (torch.tensor(part) for part in zip(*padded, strict=True))
        torch.testing.assert_close(model(input_ids=ids, attention_mask=mask).logits[:, 0], scores)
    assert json.loads((tmp_path / "result" / "config.json").read_text())["pad_token_id"] == pad


def _ids(ids: list[int]) -> Any:
    return torch.tensor(ids, dtype=torch.int32).numpy()


def _marks(ids: list[int], trained: bool) -> Any:
    return torch.full((len(ids),), trained).numpy()
