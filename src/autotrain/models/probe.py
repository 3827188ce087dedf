"""The self-test: does this loaded model compute the same from the flat layout as from its rows one by one?

No list of families decides it.  A forest of random ids (a prompt, two branches, a document) goes through both.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from autotrain import log
from autotrain.models.attention import FOREST, layout_in_use
from autotrain.models.body import attention_set_to, set_attention, text_configs
from autotrain.models.head import HeadFormula, finish_logits, input_width, log_probs
from autotrain.models.layout import Layout, make_layout
from autotrain.models.precision import compute_dtype
from autotrain.types import Span

# Largest error allowed, relative to the largest value.  Models that can't take the layout are at 0.05 to 1.
TOLERANCE = MappingProxyType({torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2})

# A prompt of 6, its branches of 5 and 4, and a document of 7 tokens.
_SPANS = (Span(0, 6), Span(6, 5, 0), Span(11, 4, 0), Span(15, 7))
_PATHS = ((0, 1), (0, 2), (3,))
_SHORT_WINDOW = 3  # windows are lowered to this, or so short a text wouldn't feel them

# How code that was handed a layout it doesn't know may fail.
_FOREIGN_FAILURES = (RuntimeError, TypeError, AttributeError, ValueError, LookupError, AssertionError)

Autocast = Callable[[], AbstractContextManager[object]]
# From hidden states (L, H) of a text and what the model made of it (for a language model, logits (L, V)): the relative error
# of what we make of the same hidden states, and why it can't be used ("" where it can).
CheckHead = Callable[[Tensor, Tensor], tuple[float | None, str]]


@dataclass(frozen=True)
class Verdict:
    """layout: what the model is given.  fused_head: whether its output can be made from its hidden states by us, by chunks.

    Errors are relative to the largest value, None where nothing could be compared; reason: why not flat or not fused.
    """

    layout: Literal["flat", "padded"]
    fused_head: bool
    hidden_error: float | None
    head_error: float | None
    reason: str = ""


def probe(
    model: PreTrainedModel, body: nn.Module | None, check_head: CheckHead, *, stock: str, autocast: Autocast
) -> Verdict:
    """Compare layouts and heads on the loaded model, and tell the user where the slower way is taken.

    Leaves random state, training modes, attention and configuration as they were.
    """
    ids = _random_ids(model)
    with undisturbed(model), torch.no_grad(), autocast():
        with attention_set_to(model, stock):
            if body is None:
                return Verdict("padded", False, None, None, "the model doesn't tell its body from its head")
            with _short_windows(model):
                rows = [_row_hidden(body, ids[_tokens(path)]) for path in _PATHS]
                whole = model(input_ids=ids[_tokens((0, 1))][None], use_cache=False).logits[0]
            head_error, head_reason = check_head(rows[0], whole)
        hidden_error, reason = _layout_error(model, body, ids, rows)
    verdict = Verdict(
        "padded" if reason else "flat",
        not head_reason,
        hidden_error,
        head_error,
        "; ".join(filter(None, (reason, head_reason))),
    )
    _tell(model, verdict)
    return verdict


def _random_ids(model: PreTrainedModel) -> Tensor:
    weight: Tensor = model.get_input_embeddings().weight  # pyright: ignore[reportAssignmentType]
    generator = torch.Generator().manual_seed(0)
    num_tokens = sum(span.length for span in _SPANS)
    ids = torch.randint(weight.shape[0], (num_tokens,), generator=generator)
    pad_token_id = model.config.get_text_config().pad_token_id  # scores are read before it, by transformers
    if isinstance(pad_token_id, int):
        ids[ids == pad_token_id] = (pad_token_id + 1) % weight.shape[0]
    return ids.to(weight.device)


def _positions() -> Tensor:
    return torch.cat([torch.arange(6), torch.arange(6, 11), torch.arange(6, 10), torch.arange(7)])


def _tokens(path: Sequence[int]) -> Tensor:
    return torch.cat([torch.arange(_SPANS[i].start, _SPANS[i].start + _SPANS[i].length) for i in path])


def _row_hidden(body: nn.Module, ids: Tensor) -> Tensor:
    return body(input_ids=ids[None], use_cache=False).last_hidden_state[0]


def flat_hidden(body: nn.Module, ids: Tensor, positions: Tensor, layout: Layout) -> Tensor:
    """(N, H) hidden states of a flat batch.  ids, positions: (N,)."""
    # Without a mask, transformers asks the positions whether rows are packed, and waits for the device's answer.
    everyone = torch.ones_like(ids[None])
    with layout_in_use(layout):
        output = body(input_ids=ids[None], attention_mask=everyone, position_ids=positions[None], use_cache=False)
    return output.last_hidden_state[0]


def _layout_error(model: PreTrainedModel, body: nn.Module, ids: Tensor, rows: Sequence[Tensor]) -> tuple[float | None, str]:
    """The flat layout's error, and why it can't be used ("" where it can)."""
    if any(config.to_dict().get("attention_chunk_size") for config in text_configs(model)):
        return None, "its attention works in chunks of the row"
    before = str(model.config._attn_implementation)  # pyright: ignore[reportPrivateUsage]
    layout = make_layout(_SPANS)
    positions = _positions().to(ids.device)
    try:
        if not set_attention(model, FOREST):
            return None, "its attention can't be exchanged"
        with _short_windows(model):
            flat = flat_hidden(body, ids, positions, layout)
    except torch.OutOfMemoryError:
        raise
    except _FOREIGN_FAILURES as error:
        return None, f"its code fails on the flat layout ({type(error).__name__}: {str(error)[:120]})"
    finally:
        set_attention(model, before)
    if not layout.num_calls:
        return None, "none of its layers uses the attention interface"
    error = max(relative_error(flat[_tokens(path)], row) for path, row in zip(_PATHS, rows, strict=True))
    return error, "" if error <= TOLERANCE[compute_dtype(flat)] else f"its hidden states differ by {error:.1e}"


def same_hidden(
    other: Callable[[Tensor, Tensor, Layout], Tensor], model: PreTrainedModel, body: nn.Module, autocast: Autocast
) -> bool:
    """Whether `other` makes the same hidden states (N, H) of the self-test's forest as the model's body does."""
    ids, layout = _random_ids(model), make_layout(_SPANS)
    positions = _positions().to(ids.device)
    with undisturbed(model), torch.no_grad(), autocast(), attention_set_to(model, FOREST), _short_windows(model):
        expected = flat_hidden(body, ids, positions, layout)
        return relative_error(other(ids, positions, layout), expected) <= TOLERANCE[compute_dtype(expected)]


def check_logits(model: PreTrainedModel, formula: HeadFormula, hidden: Tensor, logits: Tensor) -> tuple[float | None, str]:
    """The head formula's error against the model's own logits (L, V), and why it can't be used."""
    head = model.get_output_embeddings()
    if head is None or input_width(head) != hidden.shape[-1]:
        return None, "its head couldn't be found"
    products = head(hidden)
    if products.shape != logits.shape:
        return None, "its logits have another shape than its head's"
    error = relative_error(finish_logits(products, formula), logits.float())
    target = logits.argmin(dim=-1)
    expected = logits.float().log_softmax(dim=-1).gather(1, target[:, None])[:, 0]
    error = max(error, relative_error(log_probs(hidden, target, head, formula), expected))
    return error, "" if error <= TOLERANCE[compute_dtype(hidden)] else f"its logits differ from the formula by {error:.1e}"


def relative_error(value: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    error = (value.float() - expected.float()).abs().max() / expected.float().abs().max()
    return float(error) if torch.isfinite(error) else float("inf")


@contextmanager
def undisturbed(model: nn.Module) -> Generator[None]:
    """Evaluation mode; random state and training modes come back."""
    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode


@contextmanager
def _short_windows(model: PreTrainedModel) -> Generator[None]:
    """Lower sliding windows in the configuration, which both ways read; they come back."""
    windows = [(config, config.to_dict().get("sliding_window")) for config in text_configs(model)]
    windows = [(config, size) for config, size in windows if isinstance(size, int) and size > _SHORT_WINDOW]
    for config, _ in windows:
        config.sliding_window = _SHORT_WINDOW
    try:
        yield
    finally:
        for config, size in windows:
            config.sliding_window = size


def _tell(model: PreTrainedModel, verdict: Verdict) -> None:
    if verdict.layout == "padded":
        log.notice(
            f"{model.config.model_type} can't take rows without padding ({verdict.reason}); rows are padded on the right "
            "instead: the same numbers, more time and memory"
        )
