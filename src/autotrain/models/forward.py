"""Policy: the one module that computes log-probabilities.  Wrappers (DDP, FSDP) wrap it, and nobody calls the body.

Legend: N tokens, M predictions, S sequences, H hidden size.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from autotrain import log
from autotrain.errors import TrainingError
from autotrain.models.attention import FOREST, Layout, layout_in_use, make_layout
from autotrain.models.body import attention_set_to, causal_lm_of, find_body, set_attention, stock_attention_of
from autotrain.models.head import guess_formula, log_probs
from autotrain.models.memory import MemoryEstimate, estimate_memory
from autotrain.models.padded import pad_rows
from autotrain.models.precision import Precision
from autotrain.models.probe import flat_hidden, probe
from autotrain.types import Batch, LogProbs


class Policy(nn.Module):
    """A causal language model, perhaps with an adapter, that answers a Batch with LogProbs.

    model: the Hugging Face or PEFT model.  verdict: what the self-test found.
    row_sizes: where rows are padded, the lengths they may have (none: as long as the longest of the batch).
    longest_path: the most tokens that a path may have, None for any.
    """

    def __init__(self, model: nn.Module, precision: Precision, longest_path: int | None = None) -> None:
        super().__init__()
        self.model = model
        self.precision = precision
        self.longest_path = longest_path
        self.row_sizes: tuple[int, ...] = ()
        self._formula = guess_formula(self.causal_lm.config)
        self._stock = stock_attention_of(self.causal_lm)
        body = find_body(self.causal_lm)
        self.verdict = probe(self.causal_lm, body, self._formula, stock=self._stock, autocast=self._probe_autocast)
        set_attention(self.causal_lm, FOREST if self.verdict.layout == "flat" else self._stock)

    @property
    def causal_lm(self) -> PreTrainedModel:
        """The model without the adapter's wrapper."""
        return causal_lm_of(self.model)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def has_adapter(self) -> bool:
        """Whether an adapter is trained rather than the whole model."""
        return self.model is not self.causal_lm

    @property
    def num_parameters(self) -> int:
        """Parameters of model and adapter; what is held in 4 bits counts in full."""
        return self.causal_lm.num_parameters()

    @property
    def num_trainable(self) -> int:
        """Parameters that are trained."""
        return sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)

    def autocast(self) -> torch.autocast:
        """The precision of the computation, for whoever calls the model directly."""
        return torch.autocast(self.device.type, self.precision.compute, enabled=self.precision.autocast)

    def _probe_autocast(self) -> torch.autocast:
        """Weights in float32 are tested in float32: errors show better."""
        is_float32 = all(p.dtype == torch.float32 for p in self.model.parameters() if p.is_floating_point())
        return torch.autocast(self.device.type, self.precision.compute, enabled=self.precision.autocast and not is_float32)

    def forward(self, batch: Batch) -> LogProbs:
        """Log-probabilities of the batch's targets, (M,) float32, on the model's device."""
        layout = make_layout(batch.spans)
        self._check_lengths(layout)
        target, source = batch.target.to(self.device), batch.source.to(self.device)
        with self.autocast():
            if self.verdict.layout == "flat":
                per_token = self._flat(batch, layout, source, target)
            else:
                per_token = self._padded(batch, target)
        return LogProbs(per_token, batch.sequence.to(self.device), batch.num_sequences)

    def _check_lengths(self, layout: Layout) -> None:
        if self.longest_path is not None and layout.longest_path > self.longest_path:
            raise TrainingError(
                f"a sequence of {layout.longest_path} tokens: beyond {self.longest_path}, this model's rotary frequencies "
                f"depend on what else is in the batch; set block_size to at most {self.longest_path}"
            )

    def _flat(self, batch: Batch, layout: Layout, source: Tensor, target: Tensor) -> Tensor:
        ids, positions = batch.input_ids.to(self.device), batch.position_ids.to(self.device)
        if self.verdict.fused_head:
            hidden = flat_hidden(self._body, ids, positions, layout)  # (N, H)
            return log_probs(hidden.index_select(0, source), target, self._head, self._formula)
        with layout_in_use(layout):
            output = self.causal_lm(
                input_ids=ids[None], position_ids=positions[None], use_cache=False, logits_to_keep=source
            )
        return _gather(output.logits[0], target)

    def _padded(self, batch: Batch, target: Tensor) -> Tensor:
        rows = pad_rows(batch.spans, self.row_sizes)
        ids = batch.input_ids[rows.token].to(self.device)
        row, column = rows.row[batch.source].to(self.device), rows.column[batch.source].to(self.device)
        if self.verdict.fused_head:
            hidden = self._body(input_ids=ids, use_cache=False).last_hidden_state  # (R, T, H)
            cells = hidden.flatten(0, 1).index_select(0, row * ids.shape[1] + column)
            return log_probs(cells, target, self._head, self._formula)
        kept, place = column.unique(return_inverse=True)
        logits = self.causal_lm(input_ids=ids, use_cache=False, logits_to_keep=kept).logits
        return _gather(logits[row, place], target)

    @property
    def _body(self) -> nn.Module:
        body = find_body(self.causal_lm)
        if body is None:
            raise TrainingError(f"{self.causal_lm.config.model_type}: the part that makes hidden states couldn't be found")
        return body

    @property
    def _head(self) -> nn.Module:
        head = self.causal_lm.get_output_embeddings()
        assert head is not None  # the self-test found it
        return head

    @contextmanager
    def stock_attention(self) -> Generator[None]:
        """The model as transformers runs it, in the run's precision, to generate.  Evaluation mode is the caller's."""
        with attention_set_to(self.causal_lm, self._stock), self.autocast():
            yield

    def trainable_state(self) -> dict[str, Tensor]:
        """Copies, on the processor, of exactly the parameters that are trained."""
        return {name: parameter.detach().to("cpu", copy=True) for name, parameter in self._trained()}

    def load_trainable_state(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `trainable_state` returned.  Raises TrainingError where names or shapes don't fit this model."""
        trained = dict(self._trained())
        odd = sorted(trained.keys() ^ state.keys()) or [n for n in trained if trained[n].shape != state[n].shape]
        if odd:
            raise TrainingError(
                f"the saved weights are of another model or adapter: {odd[0]} and {len(odd) - 1} more differ"
            )
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(state[name])

    def _trained(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, parameter) for name, parameter in self.model.named_parameters() if parameter.requires_grad]

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Compute layers again in the backward pass instead of keeping what they made."""
        model = self.causal_lm
        if not model.supports_gradient_checkpointing:
            if enabled:
                log.notice(f"{model.config.model_type} can't compute layers again; gradient checkpointing stays off")
            return
        if enabled:
            model.activation_checkpointing_enable({"use_reentrant": False})
        else:
            model.activation_checkpointing_disable()
        model.disable_input_require_grads()  # only the reentrant kind needs it

    def memory(self) -> MemoryEstimate:
        """What training takes, for a planner."""
        size = torch.empty(0, dtype=self.precision.compute).element_size()
        return estimate_memory(self.model, self.causal_lm.config, size, has_adapter=self.has_adapter)

    def fixed_bytes(self) -> int:
        """Bytes of weights, gradients and Adam's state, whatever the batch: an estimate."""
        return self.memory().fixed

    def activation_bytes_per_token(self, *, checkpointed: bool = False) -> int:
        """Bytes that one token of a batch keeps until the backward pass, with or without checkpointing: an estimate."""
        estimate = self.memory()
        return estimate.per_token_checkpointed if checkpointed else estimate.per_token


def _gather(logits: Tensor, target: Tensor) -> Tensor:
    """(M,) float32 log-probabilities from logits (M, V)."""
    return logits.float().log_softmax(dim=-1).gather(1, target[:, None])[:, 0]
