"""Texts with the parts that are trained on, before and after they are encoded."""

from dataclasses import dataclass

import numpy as np

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Marked:
    """A text and the character ranges in it that are trained on, in order."""

    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """ids: (length,) int32.  trained: (length,) bool."""

    ids: np.ndarray
    trained: np.ndarray
