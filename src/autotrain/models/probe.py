"""The self-test: does this loaded model compute the same from the flat layout as from its rows?

No list of families decides it.  A forest of random ids (a prompt, two branches, a document) goes through both.
"""

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from autotrain import log
from autotrain.models.attention import FOREST, layout_in_use
from autotrain.models.body import attention_set_to, set_attention, text_configs
from autotrain.models.head import HeadFormula, finish_logits, input_width, log_probs
from autotrain.models.layout import Layout, make_layout
from autotrain.models.precision import compute_dtype
from autotrain.types import Span

# Largest `relative_error` allowed.  With a wrong layout SmolLM2 is at 0.14 to 0.6; in bfloat16 it rounds by 0.02 to 0.04.
TOLERANCE = MappingProxyType({torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 4e-2})
# Some ids make of a rounding in 16 bits a large error, whoever computes it; what is wrong is wrong with all ids.
_DRAWS = 3

# A prompt of 6, its branches of 5 and 4, and a document of 7 tokens.
_SPANS = (Span(0, 6), Span(6, 5, 0), Span(11, 4, 0), Span(15, 7))
_PATHS = ((0, 1), (0, 2), (3,))
_SHORT_WINDOW = 3  # windows are lowered to this, or so short a text wouldn't feel them

# How code that was handed a layout it doesn't know may fail.
FOREIGN_FAILURES = (RuntimeError, TypeError, AttributeError, ValueError, LookupError, AssertionError)

Autocast = Callable[[], AbstractContextManager[object]]
# From hidden states (L, H) of a text and what the model made of it (for a language model, logits (L, V)): the relative error
# of what we make of the same hidden states, and why it can't be used ("" where it can).
CheckHead = Callable[[Tensor, Tensor], tuple[float | None, str]]


# Hidden states (N, H) of a flat batch, from ids (N,), positions (N,) and its layout.
Hidden = Callable[[Tensor, Tensor, Layout], Tensor]
Way = Literal["layers", "attention", "plain", "rows"]


@dataclass(frozen=True)
class FastWays:
    """Our own ways to make hidden states of a flat batch; None where one may not be taken.

    layers: without the model's code.  attention: with it, and our attention.
    """

    layers: Hidden | None = None
    attention: Hidden | None = None


@dataclass(frozen=True)
class Verdict:
    """layout: what the model is given.  fused_head: whether its output can be made from its hidden states by us, by chunks.

    Errors are `relative_error`, None where nothing could be compared; reason: why not flat or not fused.
    way: the fastest that makes of a flat batch what the model makes of its rows; "rows" where none does.
    """

    layout: Literal["flat", "padded"]
    fused_head: bool
    hidden_error: float | None
    head_error: float | None
    reason: str = ""
    way: Way = "rows"


def probe(
    model: PreTrainedModel,
    body: nn.Module | None,
    check_head: CheckHead,
    *,
    stock: str,
    autocast: Autocast,
    fast: FastWays,
) -> Verdict:
    """Compare layouts, ways and heads on the loaded model, and tell the user where the slower way is taken.

    Leaves random state, training modes, attention and configuration as they were.
    """
    with undisturbed(model), torch.no_grad(), autocast(), _short_windows(model):
        if body is None:
            return Verdict("padded", False, None, None, "the model doesn't tell its body from its head")
        samples = _Samples(model, body, stock)
        ids, rows = samples.draw(0)
        with attention_set_to(model, stock):
            whole = model(input_ids=ids[_tokens(_PATHS[0])][None], use_cache=False).logits[0]
            head_error, head_reason = check_head(rows[0], whole)
        if head_reason:  # then the model's own code makes hidden states and logits in one go
            fast = replace(fast, layers=None)
        way, hidden_error, reason = _find_way(model, body, samples, fast)
    verdict = Verdict(
        "padded" if way == "rows" else "flat",
        not head_reason,
        hidden_error,
        head_error,
        "; ".join(filter(None, (reason, head_reason))),
        way,
    )
    _tell(model, verdict)
    return verdict


@dataclass(frozen=True)
class _Samples:
    """Random ids, and what the model itself makes of their rows."""

    model: PreTrainedModel
    body: nn.Module
    stock: str
    drawn: dict[int, tuple[Tensor, list[Tensor]]] = field(default_factory=dict[int, tuple[Tensor, list[Tensor]]])

    def draw(self, number: int) -> tuple[Tensor, list[Tensor]]:
        """ids (N,), and (L, H) hidden states of each path's row; the same at each call of a number."""
        if number not in self.drawn:
            ids = _random_ids(self.model, number)
            with attention_set_to(self.model, self.stock):
                self.drawn[number] = ids, _rows_hidden(self.body, ids)
        return self.drawn[number]


def _random_ids(model: PreTrainedModel, number: int = 0) -> Tensor:
    weight: Tensor = model.get_input_embeddings().weight  # pyright: ignore[reportAssignmentType]
    generator = torch.Generator().manual_seed(number)
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


def _rows_hidden(body: nn.Module, ids: Tensor) -> list[Tensor]:
    """(L, H) hidden states of each path's own row, all in one pass.  What fills a row up is behind all that is read."""
    paths = [_tokens(path) for path in _PATHS]
    hidden = body(input_ids=ids[pad_sequence(paths, batch_first=True)], use_cache=False).last_hidden_state
    return [row[: len(path)] for row, path in zip(hidden, paths, strict=True)]


def flat_hidden(body: nn.Module, ids: Tensor, positions: Tensor, layout: Layout) -> Tensor:
    """(N, H) hidden states of a flat batch.  ids, positions: (N,)."""
    # Without a mask, transformers asks the positions whether rows are packed, and waits for the device's answer.
    everyone = torch.ones_like(ids[None])
    with layout_in_use(layout):
        output = body(input_ids=ids[None], attention_mask=everyone, position_ids=positions[None], use_cache=False)
    return output.last_hidden_state[0]


def probed_hidden(model: PreTrainedModel, body: nn.Module, autocast: Autocast) -> Tensor:
    """(N, H) of the self-test's forest in the flat layout, as the model stands."""
    ids = _random_ids(model)
    with undisturbed(model), torch.no_grad(), autocast():
        return flat_hidden(body, ids, _positions().to(ids.device), make_layout(_SPANS))


def _find_way(model: PreTrainedModel, body: nn.Module, samples: _Samples, fast: FastWays) -> tuple[Way, float | None, str]:
    """The fastest way that takes the flat layout, the error there, and why there is none ("" where there is)."""
    if fast.layers is not None:
        error, reason = _tried(fast.layers, samples)
        if not reason:
            return "layers", error, ""
    if any(config.to_dict().get("attention_chunk_size") for config in text_configs(model)):
        return "rows", None, "its attention works in chunks of the row"
    before = str(model.config._attn_implementation)  # pyright: ignore[reportPrivateUsage]
    try:
        if not set_attention(model, FOREST):
            return "rows", None, "its attention can't be exchanged"
        error, reason = _tried(partial(flat_hidden, body), samples, uses_attention=True)
        # Ours leaves some batches to the plain way, so both have to be right.
        is_fast = not reason and fast.attention is not None and not _tried(fast.attention, samples)[1]
    finally:
        set_attention(model, before)
    return "rows" if reason else "attention" if is_fast else "plain", error, reason


def _tried(hidden: Hidden, samples: _Samples, *, uses_attention: bool = False) -> tuple[float | None, str]:
    """The error of a way on the flat layout, and why it can't be taken ("" where it can)."""
    layout = make_layout(_SPANS)
    error, allowed = math.inf, 0.0
    for number in range(_DRAWS):
        ids, rows = samples.draw(number)
        try:
            flat = hidden(ids, _positions().to(ids.device), layout)
        except torch.OutOfMemoryError:
            raise
        except FOREIGN_FAILURES as failure:
            return None, f"its code fails on the flat layout ({type(failure).__name__}: {str(failure)[:120]})"
        if uses_attention and not layout.num_calls:
            return None, "none of its layers uses the attention interface"
        error = max(relative_error(flat[_tokens(path)], row) for path, row in zip(_PATHS, rows, strict=True))
        allowed = TOLERANCE[compute_dtype(flat)]
        if error <= allowed or compute_dtype(flat) == torch.float32:
            break
    return error, "" if error <= allowed else f"its hidden states differ by {error:.1e}"


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
    """The norm of the difference, relative to that of the expected: in 16 bits single values may be far off."""
    error = (value.float() - expected.float()).norm() / expected.float().norm()
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
