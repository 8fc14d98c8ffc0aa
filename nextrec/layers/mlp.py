"""The dense stack that most models end in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from nextrec.errors import ConfigError, invalid, unknown_option
from nextrec.layers.activation import activation_layer
from nextrec.layers.checks import is_count, is_rate

Norm = Literal["none", "batch", "layer"]
NORMS: tuple[str, ...] = get_args(Norm)


class BatchNorm1d(nn.BatchNorm1d):
    """``nn.BatchNorm1d`` that lets a training batch of one row pass.

    One row has no variance, so torch raises, and a data set of ``n * batch_size + 1`` rows ends
    its first epoch in an error. Here such a batch is normalised by the running statistics and
    leaves them as they are: the row still trains, and it does not pull the statistics towards
    itself. Parameters and buffers have torch's names.

    Source: Ioffe and Szegedy, "Batch Normalization", ICML 2015.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(B, C)`` by channel."""
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


class MLP(nn.Module):
    r"""Linear, normalisation, activation and dropout per width, then an optional linear output.

    .. math::
        h_0 = x, \qquad h_l = \mathrm{dropout}(\phi(\mathrm{norm}(W_l h_{l-1} + b_l))), \qquad
        y = W h_L + b

    Args:
        input_dim: width of the input.
        output_layer: end with a linear layer; without it the last hidden layer is the output.
        dims: hidden widths; none of them leaves the output layer alone.
        dropout: probability that a hidden number is zeroed in training, one for all layers or one
            a layer.
        activation: a name of :data:`~nextrec.layers.activation.ACTIVATIONS`.
        norm: ``batch``, ``layer`` or ``none``, before the activation.
        output_dim: width of the output layer, 1 by default.

    Shape: ``(B, input_dim)`` -> ``(B, out_features)``. Without batch normalisation and Dice the
    leading axes may be any.

    >>> import torch
    >>> MLP(10, dims=[16, 8])(torch.zeros(4, 10)).shape
    torch.Size([4, 1])
    >>> MLP(10, dims=[16], norm="none", activation="gelu", output_dim=3).out_features
    3
    >>> MLP(10, False, [16, 8]).out_features
    8
    """

    def __init__(
        self,
        input_dim: int,
        output_layer: bool = True,
        dims: Sequence[int] | None = None,
        dropout: float | Sequence[float] = 0.0,
        activation: str = "relu",
        norm: Norm = "batch",
        output_dim: int | None = None,
    ) -> None:
        super().__init__()
        dims = () if dims is None else dims
        problems = stack_problems("MLP", input_dim, dims, dropout, norm)
        if output_dim is not None and not (output_layer and is_count(output_dim)):
            must_be = "a positive integer, or None; without an output layer None"
            problems.append(invalid("MLP", "output_dim", must_be, output_dim))
        if problems:
            raise ConfigError("\n".join(problems))
        rates = layer_rates(dims, dropout)
        layers: list[nn.Module] = []
        width = input_dim
        for dim, rate in zip(dims, rates, strict=True):
            layers += [
                nn.Linear(width, dim),
                *_norm_layer(norm, dim),
                _after_norm(activation, dim),
                # An identity keeps the numbers in the state-dict keys and costs nothing.
                nn.Dropout(rate) if rate else nn.Identity(),
            ]
            width = dim
        if output_layer:
            layers.append(nn.Linear(width, output_dim or 1))
            width = output_dim or 1
        self.mlp = nn.Sequential(*layers)
        self.out_features = width

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.mlp(x)


MLP_PARAMETERS = ("output_layer", "dims", "dropout", "activation", "norm", "output_dim")
"""Keys of ``mlp_params``."""


def mlp_from(
    input_dim: int, params: Mapping[str, Any] | None, argument: str = "", **defaults: Any
) -> MLP:
    """Build an :class:`MLP` from a model's ``mlp_params``, which win over ``defaults``.

    Args:
        input_dim: width of the input.
        params: any of :data:`MLP_PARAMETERS`.
        argument: what ``params`` is called, for errors of a model that has several.
        **defaults: the same keys, for those that ``params`` lacks. ``output_layer`` and
            ``output_dim`` among them are the model's shape, and not for ``params`` to change.

    Raises:
        ConfigError: an unknown key, with the likely one, or a value that :class:`MLP` refuses.

    >>> mlp_from(10, {"dims": [16, 8]}, output_layer=False).out_features
    8
    >>> mlp_from(10, {"norms": "none"})
    Traceback (most recent call last):
    nextrec.errors.ConfigError: MLP: `parameter` must be one of output_layer, dims, dropout, \
activation, norm, output_dim; got 'norms'. Did you mean 'norm'?
    """
    params = dict(params or {})
    try:
        return _built(input_dim, params, defaults)
    except ConfigError as error:
        if not argument:
            raise
        raise ConfigError(f"`{argument}`: {error}") from error


def _built(input_dim: int, params: dict[str, Any], defaults: dict[str, Any]) -> MLP:
    check_keys("MLP", params, MLP_PARAMETERS)
    fixed = {"output_layer": True, **defaults} if "output_dim" in defaults else defaults
    changed = [
        invalid("MLP", name, f"left to the model, which needs {fixed[name]}", params[name])
        for name in ("output_layer", "output_dim")
        if name in fixed and params.get(name, fixed[name]) != fixed[name]
    ]
    if changed:
        raise ConfigError("\n".join(changed))
    return MLP(input_dim, **{**defaults, **params})


def _norm_layer(norm: Norm, width: int) -> list[nn.Module]:
    if norm == "none":
        return []
    return [BatchNorm1d(width) if norm == "batch" else nn.LayerNorm(width)]


def _after_norm(activation: str, width: int) -> nn.Module:
    layer = activation_layer(activation, width)
    if isinstance(layer, nn.ReLU):
        # Neither a linear layer nor a normalisation reads its own output in the backward pass, so
        # it may be overwritten. It saves a tensor a layer and, at 4096 x 429 -> 400-400-400, 2 to 4
        # percent of the time.
        layer.inplace = True
    return layer


def get_mlp_output_dim(params: Mapping[str, Any] | None, fallback: int) -> int:
    """The last of ``params["dims"]``, or ``fallback`` without any.

    >>> get_mlp_output_dim({"dims": [16, 8]}, 4), get_mlp_output_dim({}, 4)
    (8, 4)
    """
    dims = (params or {}).get("dims")
    return dims[-1] if dims else fallback


def stack_problems(
    owner: str, input_dim: object, dims: object, dropout: object, norm: object
) -> list[str]:
    """What is wrong with the arguments of a dense stack, one sentence each."""
    problems = []
    widths = list(dims) if isinstance(dims, list | tuple) else [dims]
    if not is_count(input_dim):
        problems.append(invalid(owner, "input_dim", "a positive integer", input_dim))
    if not isinstance(dims, list | tuple) or not all(map(is_count, widths)):
        problems.append(invalid(owner, "dims", "a list of positive integers", dims))
    rates = list(dropout) if isinstance(dropout, list | tuple) else [dropout] * len(widths)
    if len(rates) != len(widths) or not all(map(is_rate, rates or [dropout])):
        must_be = f"a number in [0, 1), or a list of one a layer ({len(widths)})"
        problems.append(invalid(owner, "dropout", must_be, dropout))
    if norm not in NORMS:
        problems.append(unknown_option(owner, "norm", NORMS, norm))
    return problems


def layer_rates(dims: Sequence[int], dropout: float | Sequence[float]) -> Sequence[float]:
    """The dropout of each layer of a stack, from one for all or one a layer."""
    if isinstance(dropout, list | tuple):
        return dropout
    return [cast("float", dropout)] * len(dims)


class StackArguments(NamedTuple):
    """What a dense stack that a model builds itself is made of."""

    dims: Sequence[int]
    rates: Sequence[float]
    """Dropout of each layer."""
    activation: str
    norm: Norm


def stack_arguments(
    owner: str,
    input_dim: int,
    params: Mapping[str, Any] | None,
    keys: Sequence[str],
    dims: Sequence[int],
    may_be_empty: bool = False,
    norm: Norm = "batch",
) -> StackArguments:
    """Read a model's ``mlp_params`` for a stack of layers of its own.

    Args:
        owner: who is named in errors.
        params: any of ``keys``.
        keys: of ``dims``, ``dropout``, ``activation`` and ``norm``, those that it may have.
        dims: hidden widths where ``params`` has none.
        may_be_empty: no widths are allowed.
        norm: normalisation where ``params`` has none.

    Raises:
        ConfigError: an unknown key, with the likely one, or a value that is refused.
    """
    given = {"dims": dims, "dropout": 0.0, "activation": "relu", "norm": norm, **(params or {})}
    check_keys(owner, params or {}, keys)
    problems = stack_problems(owner, input_dim, given["dims"], given["dropout"], given["norm"])
    if not problems and not given["dims"] and not may_be_empty:
        problems = [invalid(owner, "dims", "at least one width", given["dims"])]
    if problems:
        raise ConfigError("\n".join(problems))
    rates = layer_rates(given["dims"], given["dropout"])
    return StackArguments(given["dims"], rates, given["activation"], given["norm"])


def check_keys(owner: str, params: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Raise one error that lists every key of ``params`` that is not among ``keys``."""
    unknown = [unknown_option(owner, "parameter", keys, key) for key in params if key not in keys]
    if unknown:
        raise ConfigError("\n".join(unknown))
