"""The operations that a step can't do without, by hand."""

from autotrain.training.floor import Amount, Shapes, floor_share, forward_flops, training_flops

SHAPES = Shapes(body_weights=100, head_weights=50, adapter_weights=10, attention_width=4)
AMOUNT = Amount(tokens=8, predictions=3, attended=36)  # one document: 1 + 2 + ... + 8


def test_a_forward_pass_is_two_operations_a_weight_and_token_and_four_a_pair_of_tokens_and_channel():
    # 2 * (8 * 110 + 3 * 50) + 4 * 36 * 4
    assert forward_flops(SHAPES, AMOUNT) == 2060 + 576
    assert forward_flops(SHAPES, AMOUNT, with_adapter=False) == 1900 + 576


def test_training_all_weights_is_three_forward_passes():
    full = Shapes(100, 50, 0, 4)
    assert training_flops(full, AMOUNT, trains_base=True) == 3 * forward_flops(full, AMOUNT)


def test_a_frozen_base_is_spared_the_gradients_of_its_weights():
    # 2 a weight for the result, 2 for the gradient of what goes in; 6 for the adapter's; attention three times
    assert training_flops(SHAPES, AMOUNT, trains_base=False) == 4 * (8 * 100 + 3 * 50) + 6 * 8 * 10 + 3 * 576


def test_a_reference_is_one_forward_pass_without_the_adapter():
    without = training_flops(SHAPES, AMOUNT, trains_base=False)
    assert training_flops(SHAPES, AMOUNT, trains_base=False, has_reference=True) == without + 1900 + 576


def test_the_share_is_the_least_time_over_the_time_taken():
    assert floor_share(flops=600, seconds=2.0, flops_per_second=400.0) == 0.75
    assert floor_share(flops=600, seconds=0.0, flops_per_second=400.0) == 0.0


def test_smollm2_takes_what_was_worked_out_by_hand():
    """135M: 106.2M weights in the layers, 28.3M in the head, rank 16 everywhere is 4.88M; about 569 M a token with LoRA."""
    smollm2 = Shapes(body_weights=106_168_320, head_weights=28_311_552, adapter_weights=4_884_480, attention_width=17_280)
    one_document = Amount(tokens=1, predictions=1, attended=1)
    per_token = training_flops(smollm2, one_document, trains_base=False)
    assert 560e6 < per_token < 575e6
    assert 795e6 < training_flops(Shapes(106_168_320, 28_311_552, 0, 17_280), one_document, trains_base=True) < 810e6
