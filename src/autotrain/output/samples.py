"""A few prompts of the validation set, answered during training, so that a user sees the model learn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from autotrain.data.chat import ChatTemplate
from autotrain.data.messages import RowProblem
from autotrain.data.samples import Sample
from autotrain.data.tokenizer import LoadedTokenizer
from autotrain.models.network import Network
from autotrain.output.ends import generation_config_of, with_ends
from autotrain.types import Labelled, Preference, Text

_NUM_PROMPT_TOKENS = 32  # of plain text, which has no prompt of its own


@dataclass(frozen=True)
class SamplePrompt:
    """messages: turns up to the answer, or empty for text.  reference: the answer in the data, "" where unknown.

    is_whole: whether `text` is a prompt as it stands; otherwise its beginning is the prompt and the rest the reference.
    """

    messages: tuple[Mapping[str, Any], ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    text: str = ""
    reference: str = ""
    is_whole: bool = True


def pick_prompts(samples: Iterable[Sample], how_many: int) -> list[SamplePrompt]:
    """The first `how_many` different prompts among `samples` that have something to answer."""
    seen: set[str] = set()

    def is_new(prompt: SamplePrompt) -> bool:
        key = repr((prompt.messages, prompt.text))
        return not (key in seen or seen.add(key))

    prompts = (prompt for sample in samples if (prompt := _prompt_of(sample)) is not None and is_new(prompt))
    return list(islice(prompts, how_many))


def answer_prompts(
    policy: Network, loaded: LoadedTokenizer, prompts: Sequence[SamplePrompt], max_new_tokens: int = 96
) -> list[dict[str, str]]:
    """Greedy answers: [{"prompt", "reference", "answer"}].  Leaves random states and training mode as they were."""
    if not prompts:
        return []
    was_training = policy.training
    modes = [(module, module.training) for module in policy.modules()] if was_training else []
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    policy.eval()
    try:
        with torch.random.fork_rng(devices), torch.no_grad(), policy.stock_attention():
            answers = [_answer(policy, loaded, prompt, max_new_tokens) for prompt in prompts]
            return [answer for answer in answers if answer is not None]
    finally:
        for module, mode in modes:
            module.training = mode


def _answer(policy: Network, loaded: LoadedTokenizer, prompt: SamplePrompt, max_new_tokens: int) -> dict[str, str] | None:
    tokenizer = loaded.tokenizer
    try:
        ids, shown, reference = _encode(loaded, prompt)
    except RowProblem:
        return None  # such a row isn't trained on either
    ends = with_ends(generation_config_of(policy.pretrained), tokenizer, *loaded.stop_token_ids)
    config = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=ends.eos_token_id, pad_token_id=ends.pad_token_id
    )
    ids = ids.to(policy.device)
    output = policy.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
    answer = str(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)).strip()
    return {"prompt": shown, "reference": reference, "answer": answer}


@lru_cache(maxsize=1)
def _chat_template(loaded: LoadedTokenizer) -> ChatTemplate:
    """One object a run, so that it says what it can't show only once."""
    return ChatTemplate(loaded.tokenizer, loaded.day)


def _encode(loaded: LoadedTokenizer, prompt: SamplePrompt) -> tuple[Tensor, str, str]:
    """Ids (1, tokens) of the prompt, the prompt as shown, and the reference."""
    tokenizer = loaded.tokenizer
    if prompt.messages:
        template = _chat_template(loaded)
        messages, tools = [dict(turn) for turn in prompt.messages], [dict(tool) for tool in prompt.tools]
        text = template.render(template.shown(messages, tools), tools, prompt=True)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        return ids, _last_content(prompt.messages), prompt.reference
    ids = tokenizer(prompt.text, return_tensors="pt")["input_ids"]
    if prompt.is_whole:
        return ids, prompt.text, prompt.reference
    # At least one token stays for the reference, so that there is something to compare with.
    num_kept = max(1, min(_NUM_PROMPT_TOKENS, ids.shape[1] // 2))
    shown, rest = (tokenizer.decode(part, skip_special_tokens=True) for part in (ids[0, :num_kept], ids[0, num_kept:]))
    return ids[:, :num_kept], str(shown), str(rest)


def _prompt_of(sample: Sample) -> SamplePrompt | None:
    if isinstance(sample, Preference):
        return _prompt_before(sample, sample.chosen)
    if isinstance(sample, Labelled):
        return _prompt_before(sample, sample.completion if sample.label else "")
    if isinstance(sample, Text):
        if sample.prompt:
            return SamplePrompt(text=sample.prompt, reference=sample.text)
        return SamplePrompt(text=sample.text, is_whole=False) if sample.text.strip() else None
    for index, turn in enumerate(sample.messages):
        is_asked = index > 0 and sample.messages[index - 1].get("role") in ("user", "tool")
        if is_asked and turn.get("role") == "assistant" and turn.get("content"):
            return SamplePrompt(messages=sample.messages[:index], tools=sample.tools, reference=str(turn["content"]))
    return None


def _prompt_before(sample: Preference | Labelled, good_answer: str | tuple[Mapping[str, Any], ...]) -> SamplePrompt | None:
    """good_answer: the reference, "" where the data have none."""
    reference = good_answer if isinstance(good_answer, str) else _last_content(good_answer)
    if isinstance(sample.prompt, str):
        return SamplePrompt(text=sample.prompt, reference=reference) if sample.prompt.strip() else None
    return SamplePrompt(messages=sample.prompt, tools=sample.tools, reference=reference) if sample.prompt else None


def _last_content(messages: Sequence[Mapping[str, Any]]) -> str:
    return str(messages[-1].get("content") or "")
