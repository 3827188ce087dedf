"""In which precision is computed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from autotrain import log
from autotrain.errors import DeviceError
from autotrain.trainers.clm.params import LLMTrainingParams


@dataclass(frozen=True)
class Precision:
    """compute: dtype of the products.  autocast: whether weights in float32 are cast to it on the fly.

    name: "fp32", "bf16" or "fp16" (which needs its losses scaled).
    """

    compute: torch.dtype
    autocast: bool
    name: str


FP32 = Precision(torch.float32, False, "fp32")
BF16 = Precision(torch.bfloat16, True, "bf16")
FP16 = Precision(torch.float16, True, "fp16")


def choose_device(number: int | None = None) -> torch.device:
    """The accelerator if there is one, otherwise the processor.

    number: of this process among those of the run on this machine, each of which takes a GPU of its own; an Apple device
    can't be shared, so several processes compute on the processor.  Raises DeviceError if there are fewer GPUs.
    """
    if torch.cuda.is_available():
        if number is not None:
            if number >= torch.cuda.device_count():
                raise DeviceError(
                    f"devices: process {number} of this machine finds {torch.cuda.device_count()} GPUs; lower devices, or "
                    "look at CUDA_VISIBLE_DEVICES"
                )
            torch.cuda.set_device(number)
        return torch.device("cuda", torch.cuda.current_device())
    if number is None and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose_precision(params: LLMTrainingParams, device: torch.device) -> Precision:
    """Follow `mixed_precision`.  Raises DeviceError for bf16 on a GPU that lacks it."""
    fast = _fast_precision(device)
    asked = params.mixed_precision
    if asked == "auto":
        return fast
    if asked is None:
        if fast is not FP32:
            log.notice(f"mixed_precision is none, so everything is float32; auto ({fast.name} here) would be faster")
        return FP32
    if asked == "fp16" and device.type == "cpu":
        log.notice("mixed_precision: fp16 is slow on a processor; bf16 is used instead")
        return BF16
    if asked == "fp16":
        return FP16
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise DeviceError("mixed_precision: bf16 is not supported by this GPU; set it to fp16, auto or none")
    if device.type == "cpu" and fast is FP32:
        log.notice("mixed_precision: bf16 is slow on this processor; none would be faster")
    return BF16


def _fast_precision(device: torch.device) -> Precision:
    """What is fast and safe here."""
    if device.type == "cuda":
        return BF16 if torch.cuda.is_bf16_supported(including_emulation=False) else FP16
    if device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return BF16
    return FP32


def compute_dtype(values: Tensor) -> torch.dtype:
    """The type that products with `values` are taken in."""
    device_type = values.device.type
    return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else values.dtype
