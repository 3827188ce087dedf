"""Lengths: -1 is settled, what the user set is obeyed or refused."""

import pytest

from autotrain.data.lengths import Lengths, resolve_lengths
from autotrain.errors import ConfigError
from autotrain.trainers.clm.params import LLMTrainingParams


@pytest.mark.parametrize(
    ("fields", "tokenizer_limit", "model_limit", "expected"),
    [
        ({}, 10**30, 8192, (1024, 2048)),  # min(1024, 2048, 8192)
        ({}, 10**30, 512, (512, 512)),
        ({}, 256, None, (256, 256)),
        ({}, 10**30, None, (1024, 2048)),
        ({"model_max_length": 300}, 10**30, 8192, (300, 300)),
        ({"block_size": 2048}, 10**30, 8192, (2048, 2048)),
    ],
)
def test_block_size_and_bound(fields, tokenizer_limit, model_limit, expected):
    lengths = resolve_lengths(LLMTrainingParams(**fields), tokenizer_limit, model_limit)
    assert (lengths.block_size, lengths.model_max_length) == expected


def test_of_a_list_the_largest_is_the_limit():
    assert resolve_lengths(LLMTrainingParams(block_size="512,256"), 10**30, 8192) == Lengths(512, (256, 512), 2048)


def test_issue_467_block_size_is_never_reset_in_silence():
    params = LLMTrainingParams(block_size=4096, model_max_length=8192)
    assert resolve_lengths(params, 1024, 8192).block_size == 4096
    with pytest.raises(ConfigError, match=r"block_size \(4096\) is larger than the limit of the model \(1024 tokens\)"):
        resolve_lengths(params, 10**30, 1024)
