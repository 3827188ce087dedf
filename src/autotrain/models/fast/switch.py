"""Which fast paths a run takes.  Each is one file with a plain twin; `fast_paths` in the parameters chooses."""

from dataclasses import dataclass

from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.values import fast_path_names


@dataclass(frozen=True)
class FastPaths:
    """onednn: float32 products through oneDNN.  kernels: our C++ kernels but that of attention.  attention: ours.

    lora: LoRA's linear layer as one function.  layer: a decoder layer as one function.  compile: torch.compile instead of
    these two, which it can't look into.
    """

    onednn: bool
    kernels: bool
    attention: bool
    lora: bool
    layer: bool
    compile: bool = False


ALL = FastPaths(True, True, True, True, True)
NONE = FastPaths(False, False, False, False, False)


def fast_paths_of(params: LLMTrainingParams) -> FastPaths:
    """As `fast_paths` says."""
    names = fast_path_names(params.fast_paths)
    return FastPaths(
        onednn="onednn" in names,
        kernels="kernels" in names,
        attention="attention" in names,
        lora="lora" in names and "compile" not in names,
        layer="layer" in names and "compile" not in names,
        compile="compile" in names,
    )
