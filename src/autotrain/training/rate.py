"""How many operations a run's steps needed, and how many a second this machine's matrix products do at best."""

import time
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from autotrain.models.fast.onednn import is_exact, through_onednn
from autotrain.models.memory import layer_sizes
from autotrain.models.network import Network
from autotrain.training.floor import Shapes
from autotrain.types import Example

_SECONDS = 0.02  # for each shape
_TOKENS = {"cpu": 1024, "cuda": 8192, "mps": 2048}  # rows of a product; more gain nothing


def attended_tokens(examples: Iterable[Example]) -> int:
    """Summed over tokens, how many tokens (itself too) each looks at: those before it in its segment and its ancestors."""
    total = 0
    for example in examples:
        ends: list[int] = []
        for segment in example.segments:
            before, length = 0 if segment.parent is None else ends[segment.parent], len(segment.ids)
            total += before * length + length * (length + 1) // 2
            ends.append(before + length)
    return total


def shapes_of(policy: Network) -> Shapes | None:
    """As `shapes_of_model`."""
    return shapes_of_model(policy.pretrained)


def shapes_of_model(model: PreTrainedModel) -> Shapes | None:
    """Sizes of the model's matrices, an adapter's too; None where not all are ordinary layers (experts, convolutions)."""
    if any(parameter.ndim > 2 for parameter in model.parameters()):
        return None
    head = model.get_output_embeddings()
    sizes = {
        name: _num_weights(module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }
    adapter = sum(size for name, size in sizes.items() if ".lora_" in name)
    layers = layer_sizes(model.config)
    head_weights = 0 if head is None else int(head.weight.numel())  # pyright: ignore[reportCallIssue]
    return Shapes(sum(sizes.values()) - adapter, head_weights, adapter, layers.num_layers * layers.queries)


def _num_weights(module: nn.Linear | Conv1D) -> int:
    """As many as the matrix has, in however few bytes they are held."""
    return module.in_features * module.out_features if isinstance(module, nn.Linear) else module.weight.numel()


def matmul_rate(policy: Network) -> float:
    """As `matmul_rate_at`."""
    return matmul_rate_at(policy.pretrained.config, policy.device, policy.precision.compute)


def matmul_rate_at(config: PretrainedConfig, device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of matrix products between hidden and inner size, in the type of the computation.

    The best that torch does here: in float32 also through oneDNN, where that is exact.  Takes a tenth of a second.
    """
    sizes = layer_sizes(config)
    generator = torch.Generator().manual_seed(0)  # training's own random state stays as it is
    num_tokens = _TOKENS.get(device.type, _TOKENS["cpu"])
    wide, narrow = (torch.randn(num_tokens, size, generator=generator) for size in (sizes.inner, sizes.hidden))
    weight = torch.randn(sizes.inner, sizes.hidden, generator=generator)
    wide, narrow, weight = (tensor.to(device, dtype) for tensor in (wide, narrow, weight))
    pairs = ((narrow, weight.T), (wide, weight))
    with torch.no_grad():
        rates = [_rate(*pair) for pair in pairs]
        if device.type == "cpu" and dtype == torch.float32 and is_exact():
            with through_onednn():
                rates += [_rate(*pair) for pair in pairs]
    return max(rates)


def _rate(left: Tensor, right: Tensor) -> float:
    torch.mm(left, right)  # the first prepares the library
    _wait_for(left.device)
    flops, num_products, started = 2 * left.shape[0] * right.shape[0] * right.shape[1], 0, time.perf_counter()
    while num_products == 0 or time.perf_counter() - started < _SECONDS:
        torch.mm(left, right)
        _wait_for(left.device)
        num_products += 1
    return flops * num_products / (time.perf_counter() - started)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
