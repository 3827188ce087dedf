"""Dropout that doesn't dominate a step on the processor: there torch draws one number at a time, slowly."""

import numpy as np
import torch
from torch import Tensor, nn

_LEVELS = 2**16  # the probability is rounded to a multiple of 1 / 65536


class FastDropout(nn.Dropout):
    """As nn.Dropout; on the processor, masks come from a fast generator that torch's own seeds anew at each call.

    So torch's random state decides all, as for nn.Dropout: it is what checkpoints keep.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        return input * _mask(input.shape, self.p, input.dtype)


def _mask(shape: torch.Size, probability: float, dtype: torch.dtype) -> Tensor:
    """0 with the given probability, otherwise 1 / (1 - probability)."""
    seed = int(torch.randint(2**62, (1,)))
    generator = np.random.Generator(np.random.SFC64(seed))
    num_values = shape.numel()
    words = generator.integers(0, 2**64 - 1, (num_values + 3) // 4, dtype=np.uint64, endpoint=True)
    drawn = torch.from_numpy(words.view(np.int16))[:num_values].view(shape)
    is_kept = drawn >= round(probability * _LEVELS) - _LEVELS // 2
    return is_kept.to(dtype).mul_(1 / (1 - probability))


def quicken_dropout(model: nn.Module) -> None:
    """Exchange the dropouts inside `model`."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, FastDropout(child.p).train(child.training))
