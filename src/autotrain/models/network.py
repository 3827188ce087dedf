"""What every policy is made of: a model that takes Batches, whichever way they are laid out, and whatever head it has.

Legend: N tokens, H hidden size, R rows of T tokens.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from autotrain import log
from autotrain.errors import TrainingError
from autotrain.models.attention import FOREST
from autotrain.models.body import attention_set_to, find_body, pretrained_of, set_attention, stock_attention_of
from autotrain.models.fast.body import find_fast_body
from autotrain.models.fast.compiled import compile_checked, leave_uncompiled
from autotrain.models.fast.switch import NONE, FastPaths
from autotrain.models.kernels import library as kernels
from autotrain.models.layout import Layout, make_layout
from autotrain.models.memory import ADAM_BYTES, Computation, MemoryEstimate, estimate_memory, layer_sizes
from autotrain.models.padded import pad_rows
from autotrain.models.precision import Precision
from autotrain.models.probe import CheckHead, FastWays, flat_hidden, probe, probed_hidden
from autotrain.models.transfer import to_device
from autotrain.types import Batch


class Network(nn.Module):
    """A model, perhaps with an adapter.  Policy and ScorePolicy add what is made of its hidden states.

    model: the Hugging Face or PEFT model.  verdict: what the self-test found.
    row_sizes: where rows are padded, the lengths they may have (none: as long as the longest of the batch).
    longest_path: the most tokens that a path may have, None for any.  fast: which fast paths may be taken.
    """

    def __init__(
        self,
        model: nn.Module,
        precision: Precision,
        check_head: CheckHead,
        longest_path: int | None = None,
        fast: FastPaths = NONE,
    ) -> None:
        super().__init__()
        self.model = model
        self.precision = precision
        self.longest_path = longest_path
        self.row_sizes: tuple[int, ...] = ()
        self._stock = stock_attention_of(self.pretrained)
        body = find_body(self.pretrained)
        layers = find_fast_body(body) if fast.layer and self.device.type == "cpu" else None
        attention = partial(_with_fast_attention, body) if body is not None and fast.attention else None
        ways = FastWays(layers and layers.hidden, attention)
        self.verdict = probe(self.pretrained, body, check_head, stock=self._stock, autocast=self._probe_autocast, fast=ways)
        set_attention(self.pretrained, FOREST if self.verdict.layout == "flat" else self._stock)
        self._fast_body = layers if self.verdict.way == "layers" else None
        self.is_compiled = fast.compile and self._compile()

    def _compile(self) -> bool:
        """Whether decoder layers are compiled from now on; where they can't be, the user is told."""
        reason = "its rows are padded, so that layers are called in other ways than they are compiled for"
        if self.verdict.layout == "flat":
            reason = compile_checked(self._body, partial(probed_hidden, self.pretrained, self._body, self._probe_autocast))
        if reason:
            log.notice(f"fast_paths: compile is left out: {reason}")
        return not reason

    @property
    def pretrained(self) -> PreTrainedModel:
        """The model without the adapter's wrapper."""
        return pretrained_of(self.model)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def has_adapter(self) -> bool:
        """Whether an adapter is trained rather than the whole model."""
        return self.model is not self.pretrained

    @property
    def num_parameters(self) -> int:
        """Parameters of model and adapter; what is held in 4 bits counts in full."""
        return self.pretrained.num_parameters()

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

    def layout_of(self, batch: Batch) -> Layout:
        """Who sees whom.  Raises TrainingError for a path that is longer than this model can take."""
        layout = replace(make_layout(batch.spans), fast=self.verdict.way == "attention")
        if self.longest_path is not None and layout.longest_path > self.longest_path:
            raise TrainingError(
                f"a sequence of {layout.longest_path} tokens: beyond {self.longest_path}, this model's rotary frequencies "
                f"depend on what else is in the batch; set block_size to at most {self.longest_path}"
            )
        return layout

    def hidden_at(self, batch: Batch, layout: Layout, tokens: Tensor) -> Tensor:
        """(len(tokens), H): what the head is given at the tokens with these indices in the batch."""
        if self.verdict.layout == "flat":
            ids, positions = to_device(batch.input_ids, self.device), to_device(batch.position_ids, self.device)
            return self._flat_hidden(ids, positions, layout).index_select(0, to_device(tokens, self.device))
        rows = pad_rows(batch.spans, self.row_sizes)
        ids = to_device(batch.input_ids[rows.token], self.device)  # (R, T)
        cells = to_device(rows.row[tokens] * ids.shape[1] + rows.column[tokens], self.device)
        return self._body(input_ids=ids, use_cache=False).last_hidden_state.flatten(0, 1).index_select(0, cells)

    def _flat_hidden(self, ids: Tensor, positions: Tensor, layout: Layout) -> Tensor:
        if self._fast_body is not None:
            return self._fast_body.hidden(ids, positions, layout)
        return flat_hidden(self._body, ids, positions, layout)

    def leave_layers_whole(self) -> None:
        """From now on decoder layers are called as modules: wrappers that gather a layer's weights need to be asked."""
        if self.is_compiled:
            self.is_compiled = False
            leave_uncompiled(self._body)
            log.notice("fast_paths: compile is left out: fsdp gathers a layer's weights when it is called")
        if self._fast_body is not None:
            self._fast_body = None
            self.verdict = replace(self.verdict, way="plain")

    @property
    def fast_layers(self) -> bool:
        """Whether decoder layers are run as one function each."""
        return self._fast_body is not None

    @property
    def _body(self) -> nn.Module:
        body = find_body(self.pretrained)
        if body is None:
            raise TrainingError(f"{self.pretrained.config.model_type}: the part that makes hidden states couldn't be found")
        return body

    @contextmanager
    def stock_attention(self) -> Generator[None]:
        """The model as transformers runs it, in the run's precision.  Evaluation mode is the caller's."""
        with attention_set_to(self.pretrained, self._stock), self.autocast():
            yield

    @contextmanager
    def without_adapter(self) -> Generator[None]:
        """The model before training: the adapter, trained rows of added tokens and a trained head are switched off.

        Raises TrainingError where the whole model is trained, so that it no longer is what it was.
        """
        from peft import PeftModel

        if not isinstance(self.model, PeftModel):
            raise TrainingError("the whole model is trained: the model before training is no longer in memory")
        # PEFT's own `disable_adapter` also inspects the whole model, which takes twice the time.
        tuner: Any = self.model.base_model
        tuner.disable_adapter_layers()
        try:
            yield
        finally:
            tuner.enable_adapter_layers()

    def generate(self, **arguments: Any) -> Tensor:
        """As the model's own `generate`."""
        generate: Any = self.model.generate
        return generate(**arguments)

    def trainable_state(self) -> dict[str, Tensor]:
        """Copies, on the processor, of exactly the parameters that are trained.

        Where they are cut up among processes, all of these must call it.
        """
        return {name: _whole(parameter.detach()).to("cpu", copy=True) for name, parameter in self.trained().items()}

    def load_trainable_state(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `trainable_state` returned.  Raises TrainingError where names or shapes don't fit this model."""
        trained = self.trained()
        odd = sorted(trained.keys() ^ state.keys()) or [n for n in trained if trained[n].shape != state[n].shape]
        if odd:
            raise TrainingError(
                f"the saved weights are of another model or adapter: {odd[0]} and {len(odd) - 1} more differ"
            )
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(state[name])

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name; of a model that FSDP cut up, this process's shards of them."""
        reshard = getattr(self, "reshard", None)  # after a pass without gradient embedding and head are still whole
        if reshard is not None:
            reshard()
        return {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Compute layers again in the backward pass instead of keeping what they made: all of them, or none."""
        self.checkpoint_layers(layer_sizes(self.pretrained.config).num_layers if enabled else 0)

    def checkpoint_layers(self, number: int) -> None:
        """Compute the first `number` layers again in the backward pass instead of keeping what they made."""
        if self._fast_body is not None:
            self._fast_body = replace(self._fast_body, num_checkpointed=number)
        model = self.pretrained
        if not model.supports_gradient_checkpointing:
            if number and self._fast_body is None:
                log.notice(f"{model.config.model_type} can't compute layers again; gradient checkpointing stays off")
            return
        if number == 0:
            model.activation_checkpointing_disable()
        else:
            model.activation_checkpointing_enable({"use_reentrant": False})
            layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
            for layer in layers[number:]:
                layer.gradient_checkpointing = False
        model.disable_input_require_grads()  # only the reentrant kind needs it

    def memory(self, optimizer_bytes: int = ADAM_BYTES) -> MemoryEstimate:
        """What training takes, for a planner: an estimate.  optimizer_bytes: its state for each trained weight."""
        size = torch.empty(0, dtype=self.precision.compute).element_size()
        has_kernels = self.device.type != "cpu" or kernels.loaded() is not None
        trains_base = not self.has_adapter
        computation = Computation(self.device.type, size, self.fast_layers, trains_base, optimizer_bytes, has_kernels)
        return estimate_memory(self.model, self.pretrained.config, computation)


def _whole(weight: Tensor) -> Tensor:
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def _with_fast_attention(body: nn.Module, ids: Tensor, positions: Tensor, layout: Layout) -> Tensor:
    return flat_hidden(body, ids, positions, replace(layout, fast=True))
