"""The policy: exact log-probabilities, exact saved states, and the model as transformers runs it for generation."""

import pytest
import torch

from autotrain.errors import TrainingError
from autotrain.models.adapters import add_adapter
from autotrain.models.attention import FOREST
from autotrain.models.forward import Policy
from autotrain.models.memory import Computation, estimate_memory
from autotrain.models.precision import BF16, FP32
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Batch


def test_shape_and_bookkeeping_of_the_answer(tiny_llama, documents):
    answer = Policy(tiny_llama(), FP32)(documents(5, 9))
    assert answer.per_token.shape == (4 + 8,) and answer.per_token.dtype == torch.float32
    assert answer.num_sequences == 2 and answer.sequence.tolist() == [0] * 4 + [1] * 8


def test_cutting_a_batch_changes_nothing(tiny_llama, documents):
    policy = Policy(tiny_llama(), FP32)
    both = documents(7, 11)
    first = Batch(
        both.input_ids[:7], both.position_ids[:7], both.spans[:1], both.source[:6], both.target[:6], both.sequence[:6],
        both.sequence_end[:1], 1,
    )  # fmt: skip
    torch.testing.assert_close(policy(both).per_token[:6], policy(first).per_token, rtol=1e-6, atol=1e-6)


def test_padded_rows_may_have_fixed_sizes(tiny_llama, documents):
    policy = Policy(tiny_llama(), FP32)
    expected = policy(documents(5, 9)).per_token
    object.__setattr__(policy.verdict, "layout", "padded")
    with policy.stock_attention():
        for sizes in ((), (16, 32)):
            policy.row_sizes = sizes
            torch.testing.assert_close(policy(documents(5, 9)).per_token, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("layout", ["flat", "padded"])
def test_heads_and_layouts_agree(tiny_llama, documents, fused: bool, layout: str):
    policy = Policy(tiny_llama(), FP32)
    expected = policy(documents(5, 9)).per_token
    object.__setattr__(policy.verdict, "layout", layout)
    object.__setattr__(policy.verdict, "fused_head", fused)
    if layout == "padded":
        policy.pretrained.set_attn_implementation("sdpa")
    torch.testing.assert_close(policy(documents(5, 9)).per_token, expected, rtol=1e-5, atol=1e-5)


def test_generation_runs_under_the_stock_attention_and_training_goes_on_after_it(tiny_llama, documents):
    policy = Policy(tiny_llama(), FP32).eval()
    before = policy(documents(8)).per_token
    ids = documents(8).input_ids[None]
    with policy.stock_attention():
        assert policy.pretrained.config._attn_implementation == "sdpa"
        assert policy.model.generate(ids, max_new_tokens=3, do_sample=False).shape == (1, 11)
    assert policy.pretrained.config._attn_implementation == FOREST
    assert torch.equal(policy(documents(8)).per_token, before)


def test_generating_without_it_says_what_to_do(tiny_llama, documents):
    policy = Policy(tiny_llama(), FP32).eval()
    with pytest.raises(RuntimeError, match="stock_attention"):
        policy.model.generate(documents(8).input_ids[None], max_new_tokens=1)


def test_trained_weights_come_back_bit_for_bit_and_nothing_else_is_saved(tiny_llama):
    model = tiny_llama()
    model.lm_head.weight.requires_grad_(False)  # tied: the embedding too
    policy = Policy(model, FP32)
    state = policy.trainable_state()
    assert "lm_head.weight" not in state and "model.embed_tokens.weight" not in state
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(1.0)
    assert not torch.equal(policy.trainable_state()["model.norm.weight"], state["model.norm.weight"])
    policy.load_trainable_state(state)
    again = policy.trainable_state()
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_weights_of_another_model_are_refused(tiny_llama):
    policy = Policy(tiny_llama(), FP32)
    with pytest.raises(TrainingError, match="another model"):
        policy.load_trainable_state({"strange": torch.zeros(1)})


def test_a_path_beyond_what_the_rotary_frequencies_allow_is_refused(tiny_llama, documents):
    policy = Policy(tiny_llama(), FP32, longest_path=8)
    policy(documents(8, 8))
    with pytest.raises(TrainingError, match="block_size to at most 8"):
        policy(documents(8, 9))


def test_checkpointing_keeps_less_for_the_backward_pass(tiny_llama, documents):
    policy = Policy(tiny_llama(num_hidden_layers=4), FP32).train()

    def kept_bytes() -> int:
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            policy(documents(60, 40)).per_token.sum().backward()
        weights = {parameter.untyped_storage().data_ptr() for parameter in policy.parameters()}
        return sum(size for pointer, size in kept.items() if pointer not in weights)

    everything = kept_bytes()
    policy.set_gradient_checkpointing(True)
    nothing = kept_bytes()
    assert nothing < everything / 2
    policy.checkpoint_layers(2)  # of four
    assert kept_bytes() == pytest.approx((everything + nothing) / 2, rel=0.1)
    policy.set_gradient_checkpointing(False)
    assert kept_bytes() == pytest.approx(everything, rel=0.1)


@pytest.mark.parametrize("precision", [FP32, BF16])
def test_estimated_bytes_per_token_are_near_what_is_kept(tiny_llama, documents, precision):
    """Within a factor of two, on a model wide enough for its layers to outweigh the rest."""
    model = tiny_llama(hidden_size=128, intermediate_size=384, num_hidden_layers=4).to(precision.compute)
    model.requires_grad_(False)
    model.model.embed_tokens.weight.requires_grad_(True)
    policy = Policy(model, precision).train()
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    batch = documents(100, 100)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        policy(batch)
    weights = {parameter.untyped_storage().data_ptr() for parameter in policy.parameters()}
    measured = sum(size for pointer, size in kept.items() if pointer not in weights) / batch.num_tokens
    assert 0.5 < policy.memory().per_token / measured < 2.0


def test_fixed_bytes_count_weights_gradients_and_two_moments(tiny_llama):
    model = tiny_llama()
    size = sum(parameter.numel() for parameter in model.parameters())
    estimate = estimate_memory(model, model.config, Computation("cpu", 4, fast_layers=False, trains_base=True))
    assert estimate.fixed == size * 4 * (1 + 1 + 2)


def test_code_of_libraries_is_foreseen_for_the_products_that_they_make(tiny_llama):
    def code(rank: int, *, fast_layers: bool = True, has_kernels: bool = True) -> int:
        model = tiny_llama(hidden_size=64, intermediate_size=96)
        adapted = add_adapter(model, LLMTrainingParams(peft=True, lora_r=rank)) if rank else model
        computation = Computation("cpu", 4, fast_layers=fast_layers, trains_base=not rank, has_kernels=has_kernels)
        estimate = estimate_memory(adapted, model.config, computation)
        return estimate.shape_code * 1000 // estimate.weights  # models as small as these: by their size

    assert 0 < code(48) < code(49) < code(0)  # up to 48 adapters are multiplied by our kernels
    assert code(16) < code(0) < code(16, has_kernels=False)
    assert code(16, fast_layers=False) == 0


def test_dropout_without_kernels_is_foreseen_where_an_adapter_has_one(tiny_llama):
    def work(dropout: float, *, has_kernels: bool) -> int:
        adapted = add_adapter(tiny_llama(), LLMTrainingParams(peft=True, lora_dropout=dropout))
        computation = Computation("cpu", 4, fast_layers=True, trains_base=False, has_kernels=has_kernels)
        return estimate_memory(adapted, adapted.config, computation).layer_work

    assert work(0.0, has_kernels=False) == work(0.1, has_kernels=True) < work(0.1, has_kernels=False)
