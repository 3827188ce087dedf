"""How good a reward model is: how often it is right, how sure it may be, and whether it only likes long answers.

Legend: P pairs, chosen and rejected alike (P,) numbers.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from autotrain.data.store import ExampleStore, num_targets
from autotrain.models.score import ScorePolicy
from autotrain.output.scores import scores_of
from autotrain.types import Example

_NUM_BINS = 10
_Z_95 = 1.959964  # 95 % of a normal distribution lie within so many standard deviations


def evaluate_reward(policy: ScorePolicy, pairs: ExampleStore, token_budget: int) -> dict[str, Any]:
    """Score all pairs of a store and judge the scores.  Lengths are the answers' tokens."""
    values, lengths = np.empty((len(pairs), 2), np.float64), np.empty((len(pairs), 2), np.int64)
    for index, scores in scores_of(policy, pairs, token_budget):
        values[index] = scores
        lengths[index] = answer_lengths(pairs[index])
    return judge(values[:, 0], values[:, 1], lengths[:, 0], lengths[:, 1])


def judge(
    chosen: np.ndarray, rejected: np.ndarray, chosen_lengths: np.ndarray, rejected_lengths: np.ndarray
) -> dict[str, Any]:
    """All measures of a reward model's scores; numbers that can't be told are None.

    accuracy: share of pairs with the chosen answer's score above the rejected one's, and its 95 % interval.  margin: how
    far above, in the mean.  calibration_error: see there.  length_correlation: of all scores with lengths.
    longer_scored_higher, longer_is_chosen: shares of the pairs whose lengths differ; far apart, the model overrates length.
    """
    margin = chosen - rejected
    num_right = int((margin > 0).sum())
    low, high = wilson_interval(num_right, len(margin))
    scores, lengths = np.concatenate([chosen, rejected]), np.concatenate([chosen_lengths, rejected_lengths])
    differs = chosen_lengths != rejected_lengths
    chosen_is_longer = chosen_lengths[differs] > rejected_lengths[differs]
    longer_wins = np.where(chosen_is_longer, margin[differs] > 0, margin[differs] < 0)
    return {
        "pairs": len(margin),
        "accuracy": _mean(margin > 0),
        "accuracy_interval": {"low": low, "high": high},
        "margin": _mean(margin),
        "calibration_error": calibration_error(margin),
        "length_correlation": {"pearson": pearson(scores, lengths), "spearman": spearman(scores, lengths)},
        "longer_scored_higher": _mean(longer_wins),
        "longer_is_chosen": _mean(chosen_is_longer),
    }


def wilson_interval(num_right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): honest for few rows too, and never outside of 0 to 1."""
    if not total:
        return 0.0, 1.0
    share, square = num_right / total, _Z_95 * _Z_95
    centre = (share + square / (2 * total)) / (1 + square / total)
    half = _Z_95 * math.sqrt(share * (1 - share) / total + square / (4 * total * total)) / (1 + square / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def calibration_error(margin: np.ndarray) -> float | None:
    """Expected calibration error over 10 bins (arXiv 1706.04599, eq. 3): |right - sure| in the mean over the pairs.

    margin: (P,) score of the chosen answer minus the rejected one's.  The model holds the answer with the higher score
    for the better one, with the probability sigmoid(|margin|), between 0.5 and 1.
    """
    if not len(margin):
        return None
    sure = 1 / (1 + np.exp(-np.abs(margin)))
    right = np.where(margin == 0, 0.5, margin > 0)
    bins = np.minimum(((sure - 0.5) * 2 * _NUM_BINS).astype(int), _NUM_BINS - 1)
    error = sum(abs(right[bins == number].sum() - sure[bins == number].sum()) for number in range(_NUM_BINS))
    return float(error / len(margin))


def pearson(one: np.ndarray, other: np.ndarray) -> float | None:
    """Linear correlation; None where one of the two is constant."""
    one, other = one - one.mean() if len(one) else one, other - other.mean() if len(other) else other
    scale = math.sqrt(float((one * one).sum()) * float((other * other).sum()))
    return float((one * other).sum()) / scale if scale > 0 else None


def spearman(one: np.ndarray, other: np.ndarray) -> float | None:
    """Correlation of the ranks; equal numbers share the mean of theirs."""
    return pearson(_ranks(one), _ranks(other))


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def answer_lengths(pair: Example) -> Sequence[int]:
    """Tokens of the chosen and of the rejected answer."""
    lengths = [0] * pair.num_sequences
    for segment in pair.segments:
        lengths[segment.sequence] += num_targets(segment)
    return lengths[:2]


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
