"""Packed, unpadded batches give the same loss and gradients as the rows one by one through the plain model.

Tiny random models; weights of standard deviation 0.15, so that attention isn't flat and errors show.
"""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers import models as families

from autotrain.models.forward import Policy
from autotrain.models.layout import make_layout
from autotrain.models.precision import BF16, FP32
from autotrain.types import Batch, Span

VOCABULARY = 211
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
MODERN = {**SMALL, "intermediate_size": 96, "num_key_value_heads": 2, "pad_token_id": None, "max_position_embeddings": 256}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 256}
GEMMA = {**MODERN, "head_dim": 16}

FLAT: dict[str, Callable[[], object]] = {
    "llama": lambda: families.LlamaConfig(**MODERN),
    "qwen2": lambda: families.Qwen2Config(**MODERN),
    "qwen3": lambda: families.Qwen3Config(**MODERN, head_dim=16),
    "gemma": lambda: families.GemmaConfig(**GEMMA),
    "gemma2": lambda: families.Gemma2Config(**GEMMA, sliding_window=8, query_pre_attn_scalar=16),
    "mistral": lambda: families.MistralConfig(**MODERN, sliding_window=8),
    "phi3": lambda: families.Phi3Config(**MODERN),
    "gpt2": lambda: families.GPT2Config(**GPT2, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0),
    "stablelm": lambda: families.StableLmConfig(**{**MODERN, "num_attention_heads": 3, "num_key_value_heads": 3}),
    "cohere": lambda: families.CohereConfig(**MODERN),
    "granite": lambda: families.GraniteConfig(**MODERN, logits_scaling=4.0, attention_multiplier=0.2),
    "gpt_oss": lambda: families.GptOssConfig(**GEMMA, sliding_window=8, num_local_experts=4, num_experts_per_tok=2),
}
PADDED: dict[str, Callable[[], object]] = {
    "bloom": lambda: families.BloomConfig(vocab_size=VOCABULARY, hidden_size=48, n_layer=2, n_head=4),
    "mamba": lambda: families.MambaConfig(vocab_size=VOCABULARY, hidden_size=48, num_hidden_layers=2, state_size=8),
    "lfm2": lambda: families.Lfm2Config(
        **MODERN, layer_types=["conv", "full_attention"], block_multiple_of=16, block_ff_dim=96
    ),
}


def make_model(family: str) -> PreTrainedModel:
    config = (FLAT | PADDED)[family]()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 or "bias" in name or "sinks" in name:
                parameter.normal_(std=0.15)
    return model


def make_batch(spans: Sequence[Span], paths: Sequence[Sequence[int]], seed: int = 1) -> Batch:
    """Every token of a path but its first is a target, except that shared prompts are trained on once."""
    generator = torch.Generator().manual_seed(seed)
    num_tokens = sum(span.length for span in spans)
    ids = torch.randint(VOCABULARY, (num_tokens,), generator=generator)
    positions = torch.zeros(num_tokens, dtype=torch.int64)
    source, target, sequence, ends, seen = [], [], [], [], set()
    for index, path in enumerate(paths):
        tokens = torch.cat([torch.arange(spans[i].start, spans[i].start + spans[i].length) for i in path])
        positions[tokens] = torch.arange(len(tokens))
        for before, after in zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True):
            if after not in seen:
                seen.add(after)
                source.append(before), target.append(int(ids[after])), sequence.append(index)
        ends.append(int(tokens[-1]))
    as_tensor = [torch.tensor(values) for values in (source, target, sequence, ends)]
    return Batch(ids, positions, tuple(spans), *as_tensor, num_examples=sum(span.parent is None for span in spans))


# Three documents, and two pairs beside a tree of three levels.
PACKED = ((Span(0, 23), Span(23, 9), Span(32, 40)), ((0,), (1,), (2,)))
TREE = (
    (
        Span(0, 12),
        Span(12, 9, 0),
        Span(21, 11, 0),
        Span(32, 7),
        Span(39, 10, 3),
        Span(49, 6, 4),
        Span(55, 14, 4),
        Span(69, 8, 3),
    ),
    ((0, 1), (0, 2), (3, 4, 5), (3, 4, 6), (3, 7)),
)
LAYOUTS = {"packed": PACKED, "tree": TREE}


def one_by_one(model: PreTrainedModel, batch: Batch, paths: Sequence[Sequence[int]]) -> Tensor:
    """The targets' log-probabilities from the plain model, each row alone."""
    found: dict[tuple[int, int], Tensor] = {}
    for index, path in enumerate(paths):
        tokens = torch.cat([torch.arange(batch.spans[i].start, batch.spans[i].start + batch.spans[i].length) for i in path])
        logits = model(input_ids=batch.input_ids[tokens][None], use_cache=False).logits[0].float().log_softmax(-1)
        for column, token in enumerate(tokens.tolist()):
            for prediction in torch.nonzero((batch.source == token) & (batch.sequence == index)).flatten().tolist():
                found[prediction, index] = logits[column, batch.target[prediction]]
    return torch.stack([found[i, int(batch.sequence[i])] for i in range(len(batch.target))])


def gradients(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def weights_of_loss(batch: Batch) -> Tensor:
    return torch.linspace(-1.0, 2.0, len(batch.target))


def run(model: Callable[[], Tensor], owner: PreTrainedModel, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    owner.zero_grad(set_to_none=True)
    per_token = model()
    (per_token * weights_of_loss(batch)).sum().backward()
    return per_token.detach(), gradients(owner)


def largest_relative(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert found.keys() == expected.keys()
    scale = max(float(value.abs().max()) for value in expected.values())
    return max(float((found[name] - expected[name]).abs().max()) for name in expected) / scale


def compare(family: str, layout: str, *, checkpointing: bool = False) -> tuple[str, float, float]:
    """Verdict, largest log-probability error, largest relative gradient error; both models in training mode."""
    spans, paths = LAYOUTS[layout]
    batch = make_batch(spans, paths)
    model = make_model(family).train()
    expected, expected_gradients = run(lambda: one_by_one(model, batch, paths), model, batch)
    policy = Policy(model, FP32).train()
    policy.set_gradient_checkpointing(checkpointing)
    found, found_gradients = run(lambda: policy(batch).per_token, model, batch)
    error = float((found - expected).abs().max())
    return policy.verdict.layout, error, largest_relative(found_gradients, expected_gradients)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", FLAT)
def test_flat_batch_equals_rows_one_by_one(family: str, layout: str):
    verdict, error, gradient_error = compare(family, layout)
    assert verdict == "flat"
    assert error < 2e-5
    assert gradient_error < 1e-5


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", PADDED)
def test_family_that_cannot_takes_padded_rows_by_itself_and_the_numbers_hold(family: str, layout: str):
    verdict, error, gradient_error = compare(family, layout)
    assert verdict == "padded"
    assert error < 5e-5
    assert gradient_error < 1e-5


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2", "stablelm", "gemma2"])
def test_gradient_checkpointing_changes_nothing(family: str):
    verdict, error, gradient_error = compare(family, "tree", checkpointing=True)
    assert verdict == "flat"
    assert error < 2e-5
    assert gradient_error < 1e-5


def test_two_forwards_before_one_backward_keep_their_own_layouts_under_checkpointing():
    first, second = make_batch(*PACKED, seed=1), make_batch(*TREE, seed=2)
    model = make_model("llama").train()
    policy = Policy(model, FP32).train()

    def apart() -> dict[str, Tensor]:
        model.zero_grad(set_to_none=True)
        for batch in (first, second):
            policy(batch).per_token.sum().backward()
        return gradients(model)

    expected = apart()
    policy.set_gradient_checkpointing(True)
    model.zero_grad(set_to_none=True)
    (policy(first).per_token.sum() + policy(second).per_token.sum()).backward()
    assert largest_relative(gradients(model), expected) < 1e-6


def test_leaking_attention_would_be_seen():
    """The control: were the documents one text, log-probabilities would be off by far more than the tolerance."""
    spans, paths = PACKED
    batch = make_batch(spans, paths)
    model = make_model("llama").train()
    expected = one_by_one(model, batch, paths)
    policy = Policy(model, FP32)
    joined = Batch(
        batch.input_ids,
        batch.position_ids,
        (Span(0, batch.num_tokens),),
        batch.source,
        batch.target,
        batch.sequence,
        batch.sequence_end,
        1,
    )
    assert float((policy(joined).per_token - expected).detach().abs().max()) > 0.05
    assert len(make_layout(spans).chains) == 3


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_bfloat16_stays_near_float32(family: str):
    batch = make_batch(*TREE)
    model = make_model(family)
    exact = Policy(model, FP32)(batch).per_token
    rounded = Policy(make_model(family), BF16)(batch).per_token
    assert rounded.dtype == torch.float32
    assert float((rounded - exact).detach().abs().mean()) < 0.05


@pytest.mark.parametrize("family", [*FLAT, *PADDED])
def test_head_formula_is_confirmed_by_the_models_own_logits(family: str):
    verdict = Policy(make_model(family), FP32).verdict
    assert verdict.fused_head
    assert verdict.head_error is not None and verdict.head_error < 1e-5
