"""A model on several devices: whole on each (DDP), or cut up among them (FSDP2), through torch's own wrappers.

Both take the Network, whose forward pass takes a batch; nobody calls what is inside from outside, `generate` apart.
"""

from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel
from transformers.modeling_layers import GradientCheckpointingLayer

from autotrain.models.network import Network


def replicate(policy: Network) -> nn.Module:
    """The policy such that backward passes take the mean of gradients over processes.  All hold the same weights."""
    has_experts = any(parameter.ndim > 2 for parameter in policy.parameters())
    return DistributedDataParallel(
        policy,
        # They were loaded from the same files with the same seed, which was compared.
        init_sync=False,
        broadcast_buffers=False,
        gradient_as_bucket_view=True,
        # A batch may pass some experts by.
        find_unused_parameters=has_experts,
    )


def shard(policy: Network, num_ranks: int, device: torch.device) -> None:
    """Cut up the policy in place and bring it to `device`: a layer at a time is whole, while it is computed.

    Weights that a quantizer packed stay whole on each device: they can't be cut in rows.
    """
    policy.leave_layers_whole()
    mesh = init_device_mesh(device.type, (num_ranks,))
    packed = {weight for weight in policy.parameters() if not weight.is_floating_point() or type(weight) is not nn.Parameter}
    settings: dict[str, Any] = {"mesh": mesh, "mp_policy": _precision_of(policy, device)}
    for layer in layers_of(policy):
        own = packed.intersection(layer.parameters())
        fully_shard(layer, **settings, ignored_params=own or None)
    fully_shard(policy, **settings, ignored_params=packed or None)
    register_fsdp_forward_method(policy, "generate")


def _precision_of(policy: Network, device: torch.device) -> MixedPrecisionPolicy:
    """Weights travel in the type of the computation where that is what autocast would make of them; gradients in float32."""
    if policy.precision.autocast and device.type == "cuda":
        return MixedPrecisionPolicy(
            param_dtype=policy.precision.compute, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    return MixedPrecisionPolicy(cast_forward_inputs=False)


def layers_of(policy: Network) -> list[nn.Module]:
    """The decoder layers, as transformers marks them."""
    found = [module for module in policy.modules() if isinstance(module, GradientCheckpointingLayer)]
    inside = {id(part) for layer in found for part in layer.modules() if part is not layer}
    return [layer for layer in found if id(layer) not in inside]
