"""ScorePolicy: a reward model.  One score a sequence, read where transformers will read it.

transformers reads the score at the last token that isn't the pad token.  Where padding is done with the token that ends
texts, that is the token before the end, and training at the end itself would teach what nobody reads.  So the
model gets a pad token that ends no text, and scores are read by the same rule.

Legend: S sequences, L tokens, H hidden size.
"""

import copy
from collections.abc import Collection
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel

from autotrain import log
from autotrain.base_models import ModelSource
from autotrain.errors import ModelError
from autotrain.models.body import pretrained_of
from autotrain.models.fast.switch import NONE, FastPaths
from autotrain.models.network import Network
from autotrain.models.precision import Precision, compute_dtype
from autotrain.models.probe import TOLERANCE
from autotrain.types import Batch, Scores

SCORE_HEAD = "score"
# What the names of tokens that stand for nothing have in common, the likeliest first.
_SPARE_NAMES = ("pad", "reserved", "unused", "unk")


class ScorePolicy(Network):
    """A model with a one-logit head, perhaps with an adapter, that answers a Batch with Scores.

    Raises ModelError where the head isn't one, or where the model does more with it than we know.
    """

    def __init__(
        self, model: nn.Module, precision: Precision, longest_path: int | None = None, fast: FastPaths = NONE
    ) -> None:
        pretrained = pretrained_of(model)
        head = _find_head(pretrained)
        head.float()  # a bfloat16 score has three digits, and what counts is the difference of two
        super().__init__(model, precision, partial(_check_score, head), longest_path, fast)
        if not self.verdict.fused_head:
            raise ModelError(
                f"base_model: a {pretrained.config.model_type} model can't be a reward model: {self.verdict.reason}"
            )

    @property
    def pad_token_id(self) -> int | None:
        """The token that transformers takes for padding when it reads a score."""
        return self.pretrained.config.get_text_config().pad_token_id

    def forward(self, batch: Batch) -> Scores:
        """The score of each sequence, (S,) float32, on the model's device."""
        layout = self.layout_of(batch)
        with self.autocast():
            hidden = self.hidden_at(batch, layout, read_at(batch, self.pad_token_id))  # (S, H)
        return Scores(_apply(_find_head(self.pretrained), hidden))


def check_has_scores(config: PretrainedConfig, source: ModelSource) -> None:
    """Raises ModelError for a family of which transformers has no model with a score head."""
    classes = AutoModelForSequenceClassification._model_mapping  # pyright: ignore[reportPrivateUsage]
    brings_own = "AutoModelForSequenceClassification" in (config.to_dict().get("auto_map") or {})
    if type(config) not in classes and not brings_own:
        raise ModelError(
            f"base_model: {source.path} is a {config.model_type} model, and transformers has no "
            f"{config.model_type} model that gives scores, so nothing could load the result; choose a base of another "
            "family (Llama, Qwen, Mistral, Gemma, Phi, GPT-2), or train on the same pairs with task: llm-dpo or llm-orpo"
        )


def with_one_score(config: PretrainedConfig, pad_token_id: int | None) -> PretrainedConfig:
    """A copy of a base's configuration, for a model with one score that pads with `pad_token_id`."""
    changed = copy.deepcopy(config)
    is_classifier = any(kind.endswith("ForSequenceClassification") for kind in config.architectures or [])
    if is_classifier and config.num_labels != 1:
        log.notice(f"the base model's head of {config.num_labels} classes is replaced by a new one with a single score")
    changed.num_labels = 1
    if pad_token_id is not None:
        changed.get_text_config().pad_token_id = changed.pad_token_id = pad_token_id
    return changed


def choose_pad(tokenizer: Any, ends: Collection[int]) -> int:
    """A token to pad with that ends no text.

    tokenizer: transformers'.  ends: tokens that may end a text.  Its own pad token if it can serve, otherwise a special
    token that stands for nothing, one that the chat template doesn't write if possible.  Where there is none, its own:
    scores are then read at the token before.
    """
    taken = {*ends, tokenizer.eos_token_id}
    own = tokenizer.pad_token_id
    if own is not None and own not in taken:
        return int(own)
    names = {int(index): str(token) for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    free = [index for index in names if index not in taken]
    template = str(tokenizer.chat_template or "")

    def rank(index: int) -> tuple[bool, bool, int, int]:
        name = names[index].lower()
        kind = next((place for place, part in enumerate(_SPARE_NAMES) if part in name), len(_SPARE_NAMES))
        return (names[index] in template, index == tokenizer.bos_token_id, kind, index)

    chosen = min(free, key=rank, default=None)
    if chosen is None:
        log.notice(
            "the tokenizer has no token to pad with but the one that ends texts: scores are read at the token before it"
        )
        return int(tokenizer.eos_token_id if own is None else own)
    return chosen


def read_at(batch: Batch, pad_token_id: int | None) -> Tensor:
    """(S,) int64: of each sequence the last token that isn't padding."""
    ends = batch.sequence_end
    if pad_token_id is None or not bool((batch.input_ids[ends] == pad_token_id).any()):
        return ends
    return torch.tensor([_last_other(batch, token, pad_token_id) for token in ends.tolist()])


def _last_other(batch: Batch, token: int, pad_token_id: int) -> int:
    """The last token on the path to `token` that isn't padding; the path's first if it is nothing else."""
    span = next(span for span in batch.spans if span.start <= token < span.start + span.length)
    while int(batch.input_ids[token]) == pad_token_id:
        if token > span.start:
            token -= 1
        elif span.parent is None:
            return token
        else:
            span = batch.spans[span.parent]
            token = span.start + span.length - 1
    return token


def _find_head(model: PreTrainedModel) -> nn.Module:
    """The head, perhaps in the wrapper that an adapter puts around it.  Raises ModelError."""
    head = dict(model.named_children()).get(SCORE_HEAD)
    linears = [] if head is None else [module for module in head.modules() if isinstance(module, nn.Linear)]
    if head is None or not linears or any(linear.out_features != 1 for linear in linears):
        found = ", ".join(name for name, _ in model.named_children())
        raise ModelError(
            f"base_model: {type(model).__name__} has no head '{SCORE_HEAD}' with one output (its parts: {found}); "
            "choose a base of another family"
        )
    return head


def _apply(head: nn.Module, hidden: Tensor) -> Tensor:
    """(S,) float32 scores from hidden states (S, H), whatever the precision of the rest."""
    with torch.autocast(hidden.device.type, enabled=False):
        return head(hidden.float())[:, 0]


def _check_score(head: nn.Module, hidden: Tensor, score: Tensor) -> tuple[float | None, str]:
    """The error of the last token's score against what the model said, (1,); and why it can't be used."""
    if score.shape != (1,):
        return None, f"it gives outputs of shape {tuple(score.shape)} a text, not one score"
    # A single score may be near zero: the error is relative to the scores along the text.
    scores = _apply(head, hidden)  # (L,)
    scale = float(scores.abs().max()) or 1.0
    error = float((scores[-1] - score[0].float()).abs()) / scale
    return error, "" if error <= TOLERANCE[compute_dtype(hidden)] else f"its score differs from its head's by {error:.1e}"
