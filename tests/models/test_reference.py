"""The reference model's log-probabilities: adapter off, another model, or kept in a file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from autotrain.base_models import ModelSource
from autotrain.data.batches import collate, cut
from autotrain.errors import ModelError, TrainingError
from autotrain.models.forward import Policy
from autotrain.models.load import load_model
from autotrain.models.precision import FP32
from autotrain.models.reference import REFERENCE_FILE, LiveReference, Machine, Split, make_reference
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Example, Segment

CPU = torch.device("cpu")
VOCABULARY = 211


def make_tokenizer(folder: Path, words: int = VOCABULARY, name: str = "word") -> PreTrainedTokenizerFast:
    core = Tokenizer(WordLevel({f"{name}{index}": index for index in range(words)}, unk_token=f"{name}0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=f"{name}1", pad_token=f"{name}1")
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_examples(count: int = 5) -> list[Example]:
    generator = np.random.default_rng(4)

    def segment(length: int, trained: bool, parent: int | None = None, sequence: int = 0) -> Segment:
        ids = generator.integers(3, VOCABULARY, length).astype(np.int32)
        return Segment(ids, np.full(length, trained), parent, sequence)

    return [
        Example((segment(4 + i, False), segment(3 + i % 2, True, 0), segment(2 + i, True, 0, 1)), num_sequences=2)
        for i in range(count)
    ]


def split_of(examples: Sequence[Example], fingerprint: str = "data", budget: int = 40) -> Split:
    def batches() -> Iterator[tuple[Sequence[int], Any]]:
        for indices in cut(range(len(examples)), [example.num_tokens for example in examples], budget):
            yield indices, collate([examples[index] for index in indices])

    numbers = np.array([sum(int(s.trained.sum()) for s in example.segments) for example in examples])
    return Split(numbers, batches, fingerprint)


class Setting:
    """A base model on disk, and a policy made of it whose trained weights were moved."""

    def __init__(self, folder: Path, model: LlamaForCausalLM) -> None:
        self.folder = folder
        model.save_pretrained(folder / "base")
        self.tokenizer = make_tokenizer(folder / "base")
        self.examples = make_examples()

    def policy(self, *, vocabulary_size: int = VOCABULARY, new_token_ids: Sequence[int] = (), **fields: Any) -> Policy:
        self.params = LLMTrainingParams(model=str(self.folder / "base"), trainer="dpo", **fields)
        policy = load_model(
            self.params, ModelSource(str(self.folder / "base")), vocabulary_size=vocabulary_size,
            new_token_ids=new_token_ids, device=CPU, precision=FP32, quantization=None, seed=1,
        )  # fmt: skip
        assert isinstance(policy, Policy)
        return policy.train()

    def reference(self, policy: Policy, splits: Mapping[str, Split] | None = None, **rest: Any) -> Any:
        return make_reference(
            policy, self.params, tokenizer=self.tokenizer, new_token_ids=(), splits=splits or {},
            machine=Machine(CPU, FP32, None), path=self.folder / "run" / REFERENCE_FILE, **rest,
        )  # fmt: skip


def move(policy: Policy) -> None:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def of_base(setting: Setting, examples: Sequence[Example]) -> torch.Tensor:
    """The log-probabilities that the untouched base model gives."""
    return setting.policy()(collate(examples)).per_token.detach()


@pytest.fixture
def setting(tmp_path: Path, tiny_llama: Callable[..., LlamaForCausalLM]) -> Setting:
    return Setting(tmp_path, tiny_llama())


@pytest.mark.parametrize("fields", [{}, {"use_dora": True}, {"target_modules": "q_proj,lm_head"}])
def test_with_the_adapter_off_the_policy_is_the_base_model(setting: Setting, fields: dict):
    expected = of_base(setting, setting.examples)
    policy = setting.policy(peft=True, **fields)
    move(policy)
    reference = setting.reference(policy)
    batch = collate(setting.examples)
    torch.testing.assert_close(reference.of(batch, range(5)).per_token, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(policy.eval()(batch).per_token, expected, atol=1e-2)
    assert isinstance(reference, LiveReference) and reference.model is policy


@pytest.mark.parametrize("tied", [True, False])
def test_trained_rows_of_added_tokens_are_off_too(tmp_path: Path, tiny_llama: Callable[..., Any], tied: bool):
    """New rows are the mean of the others in the reference, as they were before training."""
    setting = Setting(tmp_path, tiny_llama(tied=tied))
    added = Segment(np.array([211, 5, 212], np.int32), np.ones(3, np.bool_))
    batch = collate([Example((added,)), *setting.examples])
    expected = setting.policy(vocabulary_size=213)(batch).per_token.detach()
    policy = setting.policy(vocabulary_size=213, new_token_ids=(211, 212), peft=True)
    move(policy)
    torch.testing.assert_close(setting.reference(policy).of(batch, ()).per_token, expected, rtol=1e-5, atol=1e-5)


def test_the_reference_leaves_modes_random_state_and_trained_weights_as_they_were(setting: Setting):
    policy = setting.policy(peft=True, lora_dropout=0.3)
    policy.pretrained.model.norm.eval()
    state = policy.trainable_state()
    modes = [module.training for module in policy.modules()]
    random_state = torch.get_rng_state()
    found = setting.reference(policy).of(collate(setting.examples), range(5))
    assert not found.per_token.requires_grad
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [module.training for module in policy.modules()] == modes
    assert policy.trainable_state().keys() == state.keys()  # what is trained still is
    assert torch.equal(found.per_token, setting.reference(policy).of(collate(setting.examples), range(5)).per_token)


def test_gradients_are_those_without_a_reference_in_between(setting: Setting):
    """The adapter is switched off between forward and backward, with layers computed again in the backward pass."""
    policy = setting.policy(peft=True, lora_dropout=0.0)
    move(policy)
    policy.set_gradient_checkpointing(True)
    reference, batch = setting.reference(policy), collate(setting.examples)

    def gradients(between: Callable[[], object]) -> dict[str, torch.Tensor]:
        policy.zero_grad(set_to_none=True)
        loss = policy(batch).per_token.sum()
        between()
        loss.backward()
        return {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}

    plain = gradients(lambda: None)
    disturbed = gradients(lambda: reference.of(batch, ()))
    assert plain.keys() == disturbed.keys() and len(plain) > 10
    assert all(torch.equal(plain[name], disturbed[name]) for name in plain)


def test_an_explicit_model_ref_is_the_reference_with_lora_too(setting: Setting, tiny_llama: Callable[..., Any]):
    other = tiny_llama()
    with torch.no_grad():
        other.model.layers[0].mlp.up_proj.weight += 0.1
    other.save_pretrained(setting.folder / "other")
    make_tokenizer(setting.folder / "other")
    policy = setting.policy(peft=True, model_ref=str(setting.folder / "other"))
    random_state = torch.get_rng_state()
    reference = setting.reference(policy)
    assert torch.equal(torch.get_rng_state(), random_state)
    found = reference.of(collate(setting.examples), range(5)).per_token
    expected = Policy(other, FP32)(collate(setting.examples)).per_token.detach()
    torch.testing.assert_close(found, expected)
    assert not any(parameter.requires_grad for parameter in reference.model.parameters())


def test_a_model_ref_with_another_vocabulary_is_refused(setting: Setting, tiny_llama: Callable[..., Any]):
    tiny_llama().save_pretrained(setting.folder / "other")
    make_tokenizer(setting.folder / "other", name="wort")
    policy = setting.policy(peft=True, model_ref=str(setting.folder / "other"))
    with pytest.raises(ModelError, match=r"model_ref: .*another vocabulary.*211 of 211.*'word0' here and 'wort0' there"):
        setting.reference(policy)
    policy = setting.policy(peft=True, model_ref="./no-such-folder")
    with pytest.raises(ModelError, match=r"^model_ref: no folder"):
        setting.reference(policy)


def test_a_whole_model_is_compared_with_what_it_said_before_training(setting: Setting):
    """One model in memory: its log-probabilities are in a file, per split, for any choice and order of examples."""
    train, valid = setting.examples, make_examples(3)[::-1]
    expected = of_base(setting, train)
    policy = setting.policy()
    reference = setting.reference(policy, {"train": split_of(train), "valid": split_of(valid)})
    move(policy)
    torch.testing.assert_close(reference.of(collate(train), range(5)).per_token, expected, rtol=1e-5, atol=1e-5)
    some = collate([train[3], train[0]])
    torch.testing.assert_close(reference.of(some, [3, 0]).per_token, of_base(setting, [train[3], train[0]]))
    torch.testing.assert_close(
        reference.of(collate([valid[1]]), [1], "valid").per_token, of_base(setting, [valid[1]]), rtol=1e-5, atol=1e-5
    )
    with pytest.raises(TrainingError, match="delete the file"):
        reference.of(collate([train[0]]), [4])


def count_batches(setting: Setting, policy: Policy, fingerprint: str = "data") -> int:
    seen: list[None] = []
    split = split_of(setting.examples, fingerprint)
    setting.reference(policy, {"train": split}, on_batch=lambda: seen.append(None))
    return len(seen)


def test_the_file_is_found_again_while_model_template_and_data_are_the_same(setting: Setting):
    assert count_batches(setting, setting.policy()) > 1
    assert count_batches(setting, setting.policy()) == 0
    assert count_batches(setting, setting.policy(), "other data") > 1
    setting.tokenizer.chat_template = "{{ messages }}"
    assert count_batches(setting, setting.policy(), "other data") > 1
    changed = setting.policy()
    move(changed)
    assert count_batches(setting, changed, "other data") > 1
    path = setting.folder / "run" / REFERENCE_FILE
    path.write_bytes(path.read_bytes()[:-20])  # cut off
    assert count_batches(setting, changed, "other data") > 1
    assert count_batches(setting, changed, "other data") == 0
    assert [entry.name for entry in path.parent.iterdir()] == [REFERENCE_FILE]


@pytest.mark.parametrize("with_model_ref", [True, False])
def test_precompute_reference_needs_no_second_model_while_training(
    setting: Setting, tiny_llama: Callable[..., Any], with_model_ref: bool
):
    fields: dict[str, Any] = {"peft": True, "precompute_reference": True}
    if with_model_ref:
        fields["model_ref"] = str(setting.folder / "base")
    expected = of_base(setting, setting.examples)
    policy = setting.policy(**fields)
    move(policy)
    reference = setting.reference(policy, {"train": split_of(setting.examples)})
    assert not isinstance(reference, LiveReference)
    torch.testing.assert_close(reference.of(collate(setting.examples), range(5)).per_token, expected, rtol=1e-5, atol=1e-5)


def test_an_adapter_is_no_part_of_the_fingerprint(setting: Setting):
    """Two runs with other adapters compare with the same base."""
    policy = setting.policy(peft=True, precompute_reference=True)
    assert count_batches(setting, policy) > 1
    move(policy)
    assert count_batches(setting, policy) == 0
