"""The functions of the .cpp files as ctypes must know them."""

import ctypes
from collections.abc import Callable, Mapping
from types import MappingProxyType

Kernels = Mapping[str, Callable[..., None]]

_ARGUMENT_TYPES = MappingProxyType(
    {"p": ctypes.c_void_p, "l": ctypes.c_int64, "i": ctypes.c_int, "u": ctypes.c_uint32, "f": ctypes.c_float}
)
# One letter an argument, as the functions stand in the .cpp files.
_SIGNATURES = MappingProxyType(
    {
        "rms_norm": "pl plp i pi f ll pi p i",
        "rms_norm_backward": "pli pli pi p pl ll p p i",
        "swiglu": "pl pl i ll p i",
        "swiglu_backward": "pl pl pl i ll pl pl p i",
        "rope": "pli pl pli lll i i",
        "attention": "pl pl pl i ppp l llll fl l pl p i",
        "attention_backward": "pl pl pl pl pl i ppp l llll fl l p pl pp i",
        "lora_shrink": "pli pii lll f pl i",
        "lora_expand": "pli pl pii lll f i",
        "lora_backward": "pli pl pii lll f pl p i",
        "log_prob": "pli p ll i p i",
        "dequantize_4bit": "pll pp pppl f pi i",
        "dropout": "pli ll uf uu pli i i",
    }
)


def functions_of(library: ctypes.CDLL) -> Kernels:
    """The library's functions, with the types of their arguments declared."""
    functions: dict[str, Callable[..., None]] = {}
    for name, letters in _SIGNATURES.items():
        function = library[name]
        function.argtypes = [_ARGUMENT_TYPES[letter] for letter in letters.replace(" ", "")]
        function.restype = None
        functions[name] = function
    return MappingProxyType(functions)
