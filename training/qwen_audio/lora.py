"""Low-rank updates of linear layers (Hu et al., 2021, arXiv 2106.09685): y = W x + alpha / rank * B A x.

B begins at zero, so that the model begins as it was. At export the update is added to W, and no trace is left.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.qwen_audio.config import ConfigError, Lora
from training.qwen_audio.freezing import fits


class LoraLinear(nn.Module):
    """A linear layer whose weights stay, and an update that is trained."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.up = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) → (..., out_features)."""
        changed: Tensor = self.base(x) + self.scale * (x @ self.down.T) @ self.up.T
        return changed

    @torch.no_grad()
    def merged(self) -> Tensor:
        """One weight that does the same, (out_features, in_features)."""
        return self.base.weight + self.scale * self.up @ self.down


def add_lora(model: nn.Module, lora: Lora) -> list[str]:
    """Puts updates beside the linear layers that the patterns name; returns the names of the new parameters.

    Raises:
        ConfigError: a pattern fits no linear layer.
    """
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for pattern in lora.layers:
        if not any(fits(name, [pattern]) for name in linear):
            raise ConfigError(f"no linear layer is named {pattern!r}")
    for name, module in linear.items():
        if fits(name, lora.layers):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, LoraLinear(module, lora.rank, lora.alpha))
    return [name for name, _ in model.named_parameters() if name.endswith((".down", ".up"))]


def base_names(model: nn.Module) -> list[str]:
    """The parameters that have updates beside them: never trained, whatever else is."""
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLinear)]
    return [f"{name}.base.{part}" for name, module in layers for part, _ in module.base.named_parameters()]


def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors under the names that they have without updates, the updates added."""
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    for name, module in model.named_modules():
        if isinstance(module, LoraLinear):
            del state[f"{name}.down"], state[f"{name}.up"]
            state[f"{name}.weight"] = module.merged()
            del state[f"{name}.base.weight"]
            if module.base.bias is not None:
                state[f"{name}.bias"] = state.pop(f"{name}.base.bias")
    return state
