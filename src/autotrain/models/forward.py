"""Policy: the one module that computes log-probabilities.  Wrappers (DDP, FSDP) wrap it, and nobody calls the body.

Legend: N tokens, M predictions, S sequences, H hidden size.
"""

from functools import partial

from torch import Tensor, nn

from autotrain import log
from autotrain.models.attention import layout_in_use
from autotrain.models.body import pretrained_of
from autotrain.models.fast.switch import NONE, FastPaths
from autotrain.models.head import guess_formula, log_probs
from autotrain.models.layout import Layout
from autotrain.models.network import Network
from autotrain.models.padded import pad_rows
from autotrain.models.precision import Precision
from autotrain.models.probe import check_logits
from autotrain.models.transfer import to_device
from autotrain.types import Batch, LogProbs


class Policy(Network):
    """A causal language model, perhaps with an adapter, that answers a Batch with LogProbs."""

    def __init__(
        self, model: nn.Module, precision: Precision, longest_path: int | None = None, fast: FastPaths = NONE
    ) -> None:
        pretrained = pretrained_of(model)
        formula = guess_formula(pretrained.config)
        super().__init__(model, precision, partial(check_logits, pretrained, formula), longest_path, fast)
        self._formula = formula
        if self.verdict.layout == "flat" and not self.verdict.fused_head:
            log.notice(
                f"{pretrained.config.model_type}: {self.verdict.reason}; "
                "all logits of a batch are made at once, which takes more memory"
            )

    def forward(self, batch: Batch) -> LogProbs:
        """Log-probabilities of the batch's targets, (M,) float32, on the model's device."""
        layout = self.layout_of(batch)
        target = to_device(batch.target, self.device)
        with self.autocast():
            if self.verdict.fused_head:
                per_token = log_probs(self.hidden_at(batch, layout, batch.source), target, self._head, self._formula)
            elif self.verdict.layout == "flat":
                per_token = self._flat(batch, layout, target)
            else:
                per_token = self._padded(batch, target)
        return LogProbs(per_token, to_device(batch.sequence, self.device), batch.num_sequences)

    def _flat(self, batch: Batch, layout: Layout, target: Tensor) -> Tensor:
        """Through the model's own head, where the formula of it isn't known."""
        ids, positions = batch.input_ids.to(self.device), batch.position_ids.to(self.device)
        source = batch.source.to(self.device)
        with layout_in_use(layout):
            output = self.pretrained(
                input_ids=ids[None], position_ids=positions[None], use_cache=False, logits_to_keep=source
            )
        return _gather(output.logits[0], target)

    def _padded(self, batch: Batch, target: Tensor) -> Tensor:
        rows = pad_rows(batch.spans, self.row_sizes)
        ids = batch.input_ids[rows.token].to(self.device)
        row, column = rows.row[batch.source].to(self.device), rows.column[batch.source].to(self.device)
        kept, place = column.unique(return_inverse=True)
        logits = self.pretrained(input_ids=ids, use_cache=False, logits_to_keep=kept).logits
        return _gather(logits[row, place], target)

    @property
    def _head(self) -> nn.Module:
        head = self.pretrained.get_output_embeddings()
        assert head is not None  # the self-test found it
        return head


def _gather(logits: Tensor, target: Tensor) -> Tensor:
    """(M,) float32 log-probabilities from logits (M, V)."""
    return logits.float().log_softmax(dim=-1).gather(1, target[:, None])[:, 0]
