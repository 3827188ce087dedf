"""The fast dropout drops what it should, as torch's random state says."""

import torch
from torch import nn

from autotrain.models.dropout import FastDropout, quicken_dropout


def test_a_twentieth_is_dropped_and_the_mean_stays():
    torch.manual_seed(0)
    result = FastDropout(0.05)(torch.ones(1000, 1001))
    assert abs(float((result == 0).float().mean()) - 0.05) < 0.001
    assert abs(float(result.mean()) - 1) < 0.001


def test_torchs_random_state_decides():
    layer, ones = FastDropout(0.5), torch.ones(99)
    torch.manual_seed(0)
    first, second = layer(ones), layer(ones)
    torch.manual_seed(0)
    assert torch.equal(layer(ones), first) and torch.equal(layer(ones), second)
    assert not torch.equal(first, second)


def test_gradients_pass_where_values_do_and_evaluation_keeps_all():
    layer, values = FastDropout(0.5), torch.ones(64, requires_grad=True)
    result = layer(values)
    result.sum().backward()
    assert torch.equal(values.grad, result.detach())
    assert torch.equal(layer.eval()(values), values)


def test_every_dropout_inside_a_model_is_exchanged():
    model = nn.Sequential(nn.Dropout(0.1), nn.ModuleDict({"default": nn.Dropout(0.2)})).eval()
    quicken_dropout(model)
    assert [(m.p, m.training) for m in model.modules() if type(m) is FastDropout] == [(0.1, False), (0.2, False)]
