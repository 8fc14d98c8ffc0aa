"""Initial values of weights by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from nextrec._registry import Registry
from nextrec.errors import ConfigError, did_you_mean, invalid

Initializer = Callable[[Tensor], Tensor]
Parameters = Mapping[str, Any]

INITIALIZERS: Registry[Callable[[str, Parameters], Initializer]] = Registry(
    "get_initializer", "init_type"
)
"""Name -> ``(activation, parameters) -> initializer``."""

_PARAMETERS = ("gain", "param", "mean", "std", "a", "b")


def get_initializer(
    init_type: str = "normal", activation: str = "linear", param: Parameters | None = None
) -> Initializer:
    """Build a function that fills a tensor in place and returns it.

    Args:
        init_type: ``xavier_uniform``, ``xavier_normal`` and ``orthogonal`` (scaled by a gain),
            ``kaiming_uniform`` and ``kaiming_normal`` (slope ``a``, 0), ``normal`` (``mean`` 0,
            ``std`` 1e-4) or ``uniform`` (from ``a`` -0.05 to ``b`` 0.05).
        activation: what follows the weights. It sets the gain, 1 where torch knows none, and the
            nonlinearity of the kaiming types.
        param: the numbers above by name; ``gain`` replaces the activation's, ``param`` is the
            argument of its gain (the slope of ``leaky_relu``).

    Raises:
        ConfigError: an unknown type or parameter name, or an activation that kaiming has no
            formula for. It is raised here, before there is a tensor to fill.

    Sources: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010; He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015;
    Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks", ICLR 2014.

    >>> import torch
    >>> get_initializer("uniform", param={"a": 2.0, "b": 2.0})(torch.empty(2))
    tensor([2., 2.])
    """
    build = INITIALIZERS[init_type]
    values = dict(param or {})
    for name in values:
        if name not in _PARAMETERS:
            must_be = f"a dict with keys among {', '.join(_PARAMETERS)}"
            message = invalid("get_initializer", "param", must_be, values)
            raise ConfigError(message + did_you_mean(name, _PARAMETERS))
    return build(activation, values)


def _knows(activation: str) -> bool:
    """Whether torch has a gain for this activation."""
    try:
        nn.init.calculate_gain(activation)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


def _scaled(fill: Callable[..., Tensor]) -> Callable[[str, Parameters], Initializer]:
    """An initializer whose spread is multiplied by a gain."""

    def build(activation: str, values: Parameters) -> Initializer:
        gain = values.get("gain")
        if gain is None:
            known = _knows(activation)
            gain = nn.init.calculate_gain(activation, values.get("param")) if known else 1.0  # type: ignore[arg-type]
        return partial(fill, gain=gain)

    return build


def _kaiming(fill: Callable[..., Tensor]) -> Callable[[str, Parameters], Initializer]:
    """An initializer whose spread follows from the activation."""

    def build(activation: str, values: Parameters) -> Initializer:
        if not _knows(activation):
            must_be = "an activation that has a kaiming gain, such as 'relu' or 'linear'"
            raise ConfigError(invalid("get_initializer", "activation", must_be, activation))
        return partial(fill, a=values.get("a", 0), nonlinearity=activation)

    return build


def _normal(activation: str, values: Parameters) -> Initializer:
    return partial(nn.init.normal_, mean=values.get("mean", 0.0), std=values.get("std", 1e-4))


def _uniform(activation: str, values: Parameters) -> Initializer:
    return partial(nn.init.uniform_, a=values.get("a", -0.05), b=values.get("b", 0.05))


INITIALIZERS.add("xavier_uniform", _scaled(nn.init.xavier_uniform_))
INITIALIZERS.add("xavier_normal", _scaled(nn.init.xavier_normal_))
INITIALIZERS.add("kaiming_uniform", _kaiming(nn.init.kaiming_uniform_))
INITIALIZERS.add("kaiming_normal", _kaiming(nn.init.kaiming_normal_))
INITIALIZERS.add("orthogonal", _scaled(nn.init.orthogonal_))
INITIALIZERS.add("normal", _normal)
INITIALIZERS.add("uniform", _uniform)
