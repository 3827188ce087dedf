"""The least time that a step could take: its floating-point operations over the rate of the machine's matrix products.

A product of (tokens, in) and (in, out) is 2 * tokens * in * out operations.  Counted are products alone, and only those
that the result needs: no padding, no logits without a target, nothing computed twice.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shapes:
    """body_weights: of the matrices that every token passes.  head_weights: of the one that only predictions pass.

    adapter_weights: of LoRA's matrices; 0 where all weights are trained.
    attention_width: heads times their size, summed over the layers.
    """

    body_weights: int
    head_weights: int
    adapter_weights: int
    attention_width: int


@dataclass(frozen=True)
class Amount:
    """tokens: laid out once, a pair's prompt too.  predictions: with a target.

    attended: summed over tokens, how many tokens (itself too) each looks at.
    """

    tokens: int
    predictions: int
    attended: int


def forward_flops(shapes: Shapes, amount: Amount, *, with_adapter: bool = True) -> int:
    """Operations of a forward pass; attention is two products, queries with keys and weights with values."""
    weights = shapes.body_weights + (shapes.adapter_weights if with_adapter else 0)
    products = 2 * (amount.tokens * weights + amount.predictions * shapes.head_weights)
    return products + 4 * amount.attended * shapes.attention_width


def training_flops(shapes: Shapes, amount: Amount, *, trains_base: bool, has_reference: bool = False) -> int:
    """Operations of forward and backward.

    The backward pass takes one product for the gradient of what goes in, and one for that of weights that are trained;
    of attention's two products each has two.  has_reference: one more forward pass, of the base alone.
    """
    frozen = 0 if trains_base else amount.tokens * shapes.body_weights + amount.predictions * shapes.head_weights
    trained = 3 * forward_flops(shapes, amount) - 2 * frozen
    return trained + (forward_flops(shapes, amount, with_adapter=False) if has_reference else 0)


def floor_share(flops: int, seconds: float, flops_per_second: float) -> float:
    """The least time for `flops` over the time taken, 0 to 1."""
    return flops / flops_per_second / seconds if seconds > 0 and flops_per_second > 0 else 0.0
