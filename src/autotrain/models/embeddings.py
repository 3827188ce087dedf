"""The rows of a model's embeddings: one for each token of its vocabulary, and often some more as padding."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


def num_rows(model: PreTrainedModel) -> int:
    """Rows of the input embeddings: the vocabulary with its padding."""
    return int(_weight(model.get_input_embeddings()).shape[0])


def set_num_rows(model: PreTrainedModel, rows: int) -> None:
    """Resize input and output embeddings of `model` in place; new rows are the mean of the old ones.

    A mean row is never the likeliest token, so that padding is never generated.
    """
    old_rows = num_rows(model)
    if rows == old_rows:
        return
    model.resize_token_embeddings(rows, mean_resizing=False)
    if rows < old_rows:
        return
    with torch.no_grad():
        for module in (model.get_input_embeddings(), model.get_output_embeddings()):
            if module is not None:
                weight = _weight(module)  # (V, H)
                weight[old_rows:] = weight[:old_rows].float().mean(dim=0).to(weight.dtype)


def grow_to(model: PreTrainedModel, rows: int) -> None:
    """As `set_num_rows`, but never take rows away."""
    set_num_rows(model, max(rows, num_rows(model)))


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight
