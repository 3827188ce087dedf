"""What the preference objectives share: log-probabilities of whole sequences, and the field's metrics.

Shapes: M predictions, S sequences, P pairs.  A batch of pairs has its sequences as chosen, rejected, chosen, ...
"""

import torch
from torch import Tensor

from autotrain.types import Counts, LogProbs

# The largest mean log-probability that an answer's odds are computed of: nothing is surer than this.
_SUREST = -1e-6
_LOG_HALF = -0.6931472


def sequence_sums(logps: LogProbs) -> Tensor:
    """(S,) float32: log p(y | x) of each sequence, the sum over its tokens."""
    sums = logps.per_token.new_zeros(logps.num_sequences, dtype=torch.float32)
    return _added(sums, logps.sequence, logps.per_token.float())


def sequence_lengths(logps: LogProbs) -> Tensor:
    """(S,) float32: predicted tokens of each sequence, at least 1."""
    ones = torch.ones_like(logps.per_token, dtype=torch.float32)
    return _added(ones.new_zeros(logps.num_sequences), logps.sequence, ones).clamp(min=1)


def _added(sums: Tensor, place: Tensor, values: Tensor) -> Tensor:
    """sums[place] + values, in the same order each time.  A GPU's `index_add` takes any: a run couldn't be repeated."""
    if sums.device.type == "cuda":
        return sums.index_put((place,), values, accumulate=True)  # sorts first
    return sums.index_add(0, place, values)


def sequence_means(logps: LogProbs) -> Tensor:
    """(S,) float32: log p(y | x) / |y|."""
    return sequence_sums(logps) / sequence_lengths(logps)


def pairs(values: Tensor, stride: int = 2) -> tuple[Tensor, Tensor]:
    """(S,) -> (P,) of the chosen and (P,) of the rejected; `stride`: sequences of an example, the two first."""
    return values[0::stride], values[1::stride]


def log1mexp(values: Tensor) -> Tensor:
    """log(1 - e^x) for x < 0, to float32 accuracy near 0 as well as far from it; finite at 0, with gradient 0 there.

    1 - e^x loses its digits near 0, where -expm1(x) keeps them; log1p keeps those of a small e^x.
    """
    below = values.float().clamp(max=_SUREST)
    return torch.where(below > _LOG_HALF, torch.log(-torch.expm1(below)), torch.log1p(-torch.exp(below)))


def chosen_nll(sums: Tensor, counts: Counts, stride: int = 2) -> Tensor:
    """This part's share of minus the mean log-probability of the chosen answers' tokens.

    sums: (S,), as from sequence_sums.  A third sequence, the prompt's own tokens, counts with the chosen answer.
    The mean is over the tokens of the whole step, as in next-token training: long answers weigh more.
    """
    counted = [place for place in range(stride) if place != 1]
    num_tokens = sum(counts.tokens_by_sequence[place] for place in counted)
    return -torch.stack([sums[place::stride].sum() for place in counted]).sum() / max(num_tokens, 1)


def pair_metrics(
    rewards: tuple[Tensor, Tensor], counts: Counts, logps: tuple[Tensor, Tensor] | None = None
) -> dict[str, Tensor]:
    """Shares of the means over the step's pairs.  rewards, logps: (P,) of the chosen, (P,) of the rejected."""
    chosen, rejected = (one.detach().float() for one in rewards)
    values = {
        "rewards/chosen": chosen,
        "rewards/rejected": rejected,
        "rewards/accuracies": (chosen > rejected).float(),
        "rewards/margins": chosen - rejected,
    }
    if logps is not None:
        values |= {"logps/chosen": logps[0].detach(), "logps/rejected": logps[1].detach()}
    return {name: value.sum() / counts.examples for name, value in values.items()}
