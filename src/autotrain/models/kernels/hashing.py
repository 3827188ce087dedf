"""The counter-based random numbers of dropout: a hash of (seed, index), the same in C++, here, and on any device."""

import torch
from torch import Tensor

Keys = tuple[int, int]  # two numbers of 32 bits
_WORD = 2**64 - 1


def keys_of(seed: int) -> Keys:
    """Spread a seed over two keys.  (splitmix64: Steele, Lea, Flood, OOPSLA 2014)"""
    word = (seed + 0x9E3779B97F4A7C15) & _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    word ^= word >> 31
    return word & 0xFFFFFFFF, word >> 32


def hashed(count: int, keys: Keys, device: torch.device) -> Tensor:
    """(count,) int32: the 32 bits of the indices 0 .. count-1.  Sums and products overflow, as they should."""
    word = torch.arange(count, dtype=torch.int32, device=device).add_(_signed(keys[0]))
    _fold(word, 17).mul_(_signed(0xED5AD4BB))
    _fold(word, 11).add_(_signed(keys[1])).mul_(_signed(0xAC4C1B51))
    _fold(word, 15).mul_(_signed(0x31848BAB))
    return _fold(word, 14)


def _fold(word: Tensor, shift: int) -> Tensor:
    """word ^= word >> shift, as of numbers without a sign."""
    return word.bitwise_xor_((word >> shift).bitwise_and_(2 ** (32 - shift) - 1))


def _signed(word: int) -> int:
    """The int32 with the bits of `word`."""
    return word - 2**32 if word >= 2**31 else word
