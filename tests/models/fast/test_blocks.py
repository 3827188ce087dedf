"""Chains cut into blocks: every query once, with exactly the keys that it may see."""

import pytest

from autotrain.models.fast.blocks import KEPT_KEYS, blocks_of, num_kept
from autotrain.models.layout import make_layout
from autotrain.types import Span

TEXTS = tuple(Span(start, length) for start, length in ((0, 1), (1, 64), (65, 65), (130, 700), (830, 40)))
PAIRS = (Span(0, 90), Span(90, 30, 0), Span(120, 80, 0), Span(200, 6), Span(206, 600, 3), Span(806, 3, 3))


def seen_in_blocks(spans, window, multiple):
    """Of each token, the tokens that its block lets it see, in order."""
    seen = {}
    for blocks in blocks_of(make_layout(spans).chains, window, multiple):
        rows = zip(
            *(tensor.tolist() for tensor in (blocks.queries, blocks.keys, blocks.offsets, blocks.lengths)), strict=True
        )
        for queries, keys, offset, length in rows:
            assert all(token >= 0 for token in queries[:length]) and set(queries[length:]) <= {-1}
            for place, token in enumerate(queries[:length]):
                last = offset + place
                first = 0 if window is None else max(0, last - window + 1)
                assert token not in seen, "a query is in one block only"
                seen[token] = keys[first : last + 1]
    return seen


def seen_by_definition(spans, window):
    seen, paths = {}, []
    for span in spans:
        path = [] if span.parent is None else list(paths[span.parent])
        for token in range(span.start, span.start + span.length):
            path.append(token)
            seen[token] = path[-window:] if window else list(path)
        paths.append(path)
    return seen


@pytest.mark.parametrize("multiple", [32, 64])
@pytest.mark.parametrize("window", [None, 1, 50, 200])
@pytest.mark.parametrize("spans", [TEXTS, PAIRS], ids=["texts", "pairs"])
def test_a_query_sees_its_path_and_itself(spans, window, multiple):
    assert seen_in_blocks(spans, window, multiple) == seen_by_definition(spans, window)


def test_texts_of_many_lengths_take_few_sizes():
    lengths = range(1, 400, 7)
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    texts = [Span(start, length) for start, length in zip(starts, lengths, strict=True)]
    assert len(blocks_of(make_layout(texts).chains, None, 64)) == -(-max(lengths) // 64)


def test_what_is_kept_of_texts_is_counted_without_making_blocks():
    lengths = (1, 64, 65, 256, 257, 900)
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    made = blocks_of(make_layout([Span(*place) for place in zip(starts, lengths, strict=True)]).chains, None, 64)
    assert num_kept(lengths) == sum(
        blocks.queries.numel() * blocks.keys.shape[1] for blocks in made if blocks.keys.shape[1] <= KEPT_KEYS
    )
