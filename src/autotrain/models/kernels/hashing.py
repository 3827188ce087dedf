"""The counter-based random numbers of dropout: a hash of (seed, index), the same in C++ and here."""

import numpy as np
from numpy.typing import NDArray

Keys = tuple[int, int]  # two numbers of 32 bits
_WORD = 2**64 - 1


def keys_of(seed: int) -> Keys:
    """Spread a seed over two keys.  (splitmix64: Steele, Lea, Flood, OOPSLA 2014)"""
    word = (seed + 0x9E3779B97F4A7C15) & _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    word ^= word >> 31
    return word & 0xFFFFFFFF, word >> 32


def hashed(count: int, keys: Keys) -> NDArray[np.uint32]:
    """(count,) the numbers of the indices 0 .. count-1."""
    word = np.arange(count, dtype=np.uint32) + np.uint32(keys[0])
    word ^= word >> np.uint32(17)
    word *= np.uint32(0xED5AD4BB)
    word ^= word >> np.uint32(11)
    word += np.uint32(keys[1])
    word *= np.uint32(0xAC4C1B51)
    word ^= word >> np.uint32(15)
    word *= np.uint32(0x31848BAB)
    word ^= word >> np.uint32(14)
    return word
