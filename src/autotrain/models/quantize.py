"""Whether the frozen base is held in 4 or 8 bits, and how transformers is told so."""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Literal

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from autotrain import log
from autotrain.errors import DeviceError
from autotrain.trainers.clm.params import LLMTrainingParams

Quantization = Literal["int4", "int8"]


def choose_quantization(params: LLMTrainingParams, device: torch.device) -> Quantization | None:
    """Follow `quantization`; by default int4 where an adapter is trained on CUDA with bitsandbytes.

    Raises DeviceError where the user asked for what can't be done here.
    """
    asked = params.quantization
    is_explicit = params.is_explicit("quantization")
    if asked is None:
        return None
    if not params.peft:
        return None  # if it was asked for, the notices on fields without effect say so
    has_library = find_spec("bitsandbytes") is not None
    if not is_explicit and not (device.type == "cuda" and has_library):
        reason = "bitsandbytes is not installed" if device.type == "cuda" else f"the device is {device.type}"
        log.notice(f"quantization: none ({reason}); set quantization: int4 to hold the base in 4 bits all the same")
        return None
    if not has_library:
        raise DeviceError(
            f"quantization: {asked} needs bitsandbytes, which is not installed: pip install 'autotrain-llm[quant]'; "
            "or set quantization: none"
        )
    if device.type not in ("cuda", "cpu"):
        raise DeviceError(f"quantization: {asked} is not possible on {device.type}; set quantization: none")
    return asked


def quantization_config(
    name: Quantization, compute_dtype: torch.dtype, *, left_whole: Sequence[str] | None = None
) -> BitsAndBytesConfig:
    """nf4 with doubly quantized constants, or int8.  left_whole: modules not to quantize; None: the output embeddings.

    int8 is without the library's way with outliers: it singles out columns by all rows of a batch, so that a sample's
    numbers would depend on its neighbours.
    """
    skipped = None if left_whole is None else list(left_whole)
    if name == "int8":
        # It says at every product that inputs are cast.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0, llm_int8_skip_modules=skipped)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
        llm_int8_skip_modules=skipped,
    )


def keep_plain_layout(model: nn.Module) -> None:
    """Forbid bitsandbytes to repack 4-bit weights on processors with AVX512-BF16.

    It does so at the first evaluation, for good: results then round differently than before, layers whose width is no
    multiple of the block fail, and a merge would read the packed weights as plain ones.
    """
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False  # pyright: ignore[reportArgumentType]
