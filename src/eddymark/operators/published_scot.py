"""Files of the published Poseidon models: their names of parameters, and how ours are filled from them."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from eddymark.errors import EddymarkError

_NAMES = (
    (r"^embeddings\.patch_embeddings\.projection\.", "embed."),
    (r"^embeddings\.norm\.", "embed_norm."),
    (r"^patch_recovery\.projection\.", "recover."),
    (r"^patch_recovery\.mixup\.", "mix."),
    (r"^residual_blocks\.(\d+)\.(\d+)\.weight$", r"across.\1.\2.scale"),
    (r"^residual_blocks\.", "across."),
    (r"\.dwconv\.", ".depthwise."),
    (r"\.pwconv1\.", ".widen."),
    (r"\.pwconv2\.", ".narrow."),
    (r"^encoder\.layers\.(\d+)\.downsample\.reduction\.", r"coarsen.\1.reduce."),
    (r"^encoder\.layers\.(\d+)\.downsample\.", r"coarsen.\1."),
    (r"^decoder\.layers\.(\d+)\.upsample\.upsample\.", r"refine.\1.expand."),
    (r"^decoder\.layers\.(\d+)\.upsample\.mixup\.", r"refine.\1.mix."),
    (r"^decoder\.layers\.(\d+)\.upsample\.", r"refine.\1."),
    (r"^(encoder|decoder)\.layers\.", r"\1."),
    (r"\.attention\.self\.continuous_position_bias_mlp\.0\.", ".attention.position_in."),
    (r"\.attention\.self\.continuous_position_bias_mlp\.2\.", ".attention.position_out."),
    (r"\.attention\.self\.", ".attention."),
    (r"\.attention\.output\.dense\.", ".attention.project."),
    (r"\.intermediate\.dense\.", ".widen."),
    (r"\.output\.dense\.", ".narrow."),
    (r"\.layernorm_before\.", ".attention_norm."),
    (r"\.layernorm_after\.", ".output_norm."),
    # Norms that know the lead time are two linear maps of it, named after what they replace.
    (r"norm\.weight\.(weight|bias)$", r"norm.scale.\1"),
    (r"norm\.bias\.(weight|bias)$", r"norm.shift.\1"),
)
"""Published names and ours, applied in this order."""

_BUFFERS = ("relative_coords_table", "relative_position_index")
"""Constants that some versions of the published code store beside the parameters."""

_ENDS = ("embed.weight", "recover.weight", "recover.bias", "mix.weight")
"""What depends on the numbers of channels of input and output."""


def our_name(published: str) -> str:
    """Return our name of a parameter of the published models."""
    for pattern, replacement in _NAMES:
        published = re.sub(pattern, replacement, published)
    return published


def read_published(path: str) -> dict[str, Tensor]:
    """Return the parameters in a file of a published model, by our names.

    Arguments:
        path: `model.safetensors` or `pytorch_model.bin`; nothing but tensors is unpickled from the latter.

    Raises:
        EddymarkError: if the file cannot be read or is of another model.
    """
    file = Path(path)
    try:
        if file.suffix == ".safetensors":
            state = safetensors.torch.load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling may raise anything
        # torch's own words advise to unpickle anything.
        unsafe = isinstance(error, pickle.UnpicklingError)
        reason = "it is no file of tensors alone" if unsafe else " ".join(str(error).split())[:200]
        raise EddymarkError(f"{path}: cannot be read as weights ({type(error).__name__}: {reason})") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise EddymarkError(f"{path}: expected named tensors of a Poseidon model, found {type(state).__name__}")
    renamed = {our_name(name): value for name, value in state.items() if not name.endswith(_BUFFERS)}
    needed = ("embed.weight", "recover.weight", "encoder.0.blocks.0.attention.logit_scale", "embed_norm.scale.weight")
    missing = [name for name in needed if name not in renamed]
    if missing or renamed["embed.weight"].dim() != 4:
        found = ", ".join(sorted(state)[:3]) or "none"
        raise EddymarkError(f"{path}: expected the parameters of a Poseidon model with lead times, found {found} …")
    return renamed


def take_over(operator: nn.Module, state: dict[str, Tensor], path: str, *, other_channels: bool) -> None:
    """Fill an operator's parameters.

    Arguments:
        operator: a `ScalableOperatorTransformer`.
        state: parameters by our names.
        path: the file that they are from.
        other_channels: whether what depends on the channels of input and output keeps its values where shapes differ.

    Raises:
        EddymarkError: if names or shapes are not the operator's.
    """
    own = operator.state_dict()
    if other_channels:
        state = {
            name: own[name] if name in _ENDS and name in own and own[name].shape != value.shape else value
            for name, value in state.items()
        }
    for name in [*own, *state]:
        expected = tuple(own[name].shape) if name in own else "nothing"
        found = tuple(state[name].shape) if name in state else "nothing"
        if expected != found:
            raise EddymarkError(
                f"{path}: {name}: expected {expected}, found {found}; are the operator's sizes the file's?"
            )
    operator.load_state_dict(state)
