"""From the processor's memory to the model's device, without waiting for the device."""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`.  To a GPU it goes through page-locked memory: the copy is queued and the processor goes on.

    A plain copy would wait until the GPU has done all that was asked of it before.
    """
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)  # torch keeps the pinned memory until the copy is done
