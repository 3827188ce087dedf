"""Chains cut into blocks: every query once, with the keys on its path; and into parts that never add to the same sum."""

import pytest

from autotrain.models.fast.tiles import SIZE, tiles_of
from autotrain.models.layout import make_layout
from autotrain.types import Span

TEXTS = tuple(Span(start, length) for start, length in ((0, 1), (1, 64), (65, 65), (130, 700), (830, 40)))
PAIRS = (Span(0, 90), Span(90, 30, 0), Span(120, 80, 0), Span(200, 6), Span(206, 600, 3), Span(806, 3, 3))
LONG = (Span(0, 3000), Span(3000, 900, 0), Span(3900, 20))


def seen_in_blocks(tiles, window):
    """Of each token, the tokens that its block lets it see, in order."""
    seen = {}
    for start, num_keys, num_queries in tiles.blocks.tolist():
        keys = tiles.paths[start : start + num_keys].tolist()
        queries = keys[-num_queries:]
        assert 0 < num_queries <= SIZE and queries == list(range(queries[0], queries[0] + num_queries))
        for place, token in enumerate(queries, num_keys - num_queries):
            assert token not in seen, "a query is in one block only"
            seen[token] = keys[max(0, place - window + 1) if window else 0 : place + 1]
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


@pytest.mark.parametrize("window", [None, 1, 50, 200])
@pytest.mark.parametrize("spans", [TEXTS, PAIRS, LONG], ids=["texts", "pairs", "long"])
def test_a_query_sees_its_path_and_itself(spans, window):
    tiles = tiles_of(make_layout(spans).chains, window, 3)
    assert seen_in_blocks(tiles, window) == seen_by_definition(spans, window)


@pytest.mark.parametrize("num_heads", [1, 3, 64])
@pytest.mark.parametrize("spans", [TEXTS, PAIRS, LONG], ids=["texts", "pairs", "long"])
def test_parts_have_each_block_once_and_no_key_twice_in_a_total(spans, num_heads):
    tiles = tiles_of(make_layout(spans).chains, None, num_heads)
    blocks, keys_of_total = [], [set() for _ in range(tiles.num_totals)]
    for first, end, total in tiles.parts.tolist():
        assert first < end
        blocks += range(first, end)
        keys = set()
        for start, num_keys, _ in tiles.blocks[first:end].tolist():
            keys.update(tiles.paths[start : start + num_keys].tolist())
        assert not keys & keys_of_total[total], "two parts would add to the same keys at the same time"
        keys_of_total[total] |= keys
    assert sorted(blocks) == list(range(len(tiles.blocks)))


def test_long_texts_are_shared_among_threads_and_short_ones_are_not_cut():
    assert tiles_of(make_layout(LONG).chains, None, 3).num_totals == 4
    assert tiles_of(make_layout(LONG).chains, None, 64).num_totals == 1, "heads are enough to share"
    texts = [Span(start, 300) for start in range(0, 6000, 300)]
    tiles = tiles_of(make_layout(texts).chains, None, 1)
    assert tiles.num_totals == 1 and len(tiles.parts) == 20


def test_the_costliest_part_comes_first():
    tiles = tiles_of(make_layout(TEXTS).chains, None, 3)
    costs = [
        sum(keys * queries for _, keys, queries in tiles.blocks[first:end].tolist())
        for first, end, _ in tiles.parts.tolist()
    ]
    assert costs == sorted(costs, reverse=True)


def test_there_may_be_nothing_to_see():
    tiles = tiles_of((), None, 3)
    assert len(tiles.blocks) == len(tiles.parts) == tiles.num_tokens == 0 and tiles.num_totals == 1
