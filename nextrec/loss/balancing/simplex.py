"""Small convex problems over the simplex ``w >= 0, sum w = 1``, solved to the end.

Shapes: A tasks that take part, a handful, so that a solution costs less than a layer's gradient.
"""

from __future__ import annotations

import math

import numpy as np

TOLERANCE = 1e-12
BARRIERS = (1e-1, 1e-3, 1e-5, 1e-7, 1e-9, 1e-11)


def min_norm_point(gram: np.ndarray) -> np.ndarray:
    """The weights ``(A,)`` of the shortest vector in the convex hull of A vectors.

    Wolfe's algorithm (Finding the nearest point in a polytope, Mathematical Programming 11, 1976)
    in terms of the Gram matrix ``(A, A)``, whose diagonal is above zero: it ends at the exact
    solution after finitely many steps. It counts in unit vectors, so that rounding of the long ones
    does not drown the short.

    >>> min_norm_point(np.array([[1.0, 0.0], [0.0, 4.0]])).round(9).tolist()
    [0.8, 0.2]
    """
    norms = np.sqrt(gram.diagonal())
    cosines = gram / np.outer(norms, norms)
    best = int(norms.argmin())
    shares = norms[best] / norms  # what a unit of each vector adds to the sum of the weights
    corral, units = [best], np.zeros(len(gram))  # weights = shares * units
    units[best] = 1.0
    for _ in range(100 * len(gram)):
        products = cosines @ units  # of each direction with the point
        ahead = products - (units @ products) * shares
        entering = int(ahead.argmin())
        if entering in corral or ahead[entering] >= -TOLERANCE * units.sum():
            break
        corral.append(entering)
        while True:
            affine = _affine_min_norm(cosines[np.ix_(corral, corral)], shares[corral])
            if affine.min() > TOLERANCE:
                break
            # Walk to it until the first weight is zero, and drop that vector.
            inside = units[corral]
            falling = affine <= TOLERANCE
            share = (inside[falling] / (inside[falling] - affine[falling])).min()
            inside = inside + share * (affine - inside)
            units[:] = 0.0
            units[corral] = np.where(inside > TOLERANCE, inside, 0.0)
            corral = [index for index in corral if units[index] > 0]
        units[:] = 0.0
        units[corral] = affine
    return shares * units


def _affine_min_norm(gram: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Weights with ``shares . w = 1``, of any sign, of the shortest vector."""
    count = len(gram)
    system = np.zeros((count + 1, count + 1))
    system[:count, :count], system[count, :count], system[:count, count] = gram, shares, shares
    right = np.zeros(count + 1)
    right[count] = 1.0
    return np.linalg.lstsq(system, right, rcond=None)[0][:count]


def linear_plus_norm(gram: np.ndarray, linear: np.ndarray, factor: float) -> np.ndarray:
    """The weights in the simplex that minimise ``linear . w + factor * sqrt(w . gram w)``.

    Newton's method on the function with a logarithmic barrier that is lowered step by step
    (Boyd, Vandenberghe, Convex Optimization, section 11.3). At the end the value is within
    ``A * 1e-11`` of the least one, relative to ``sqrt`` of the largest entry of ``gram``.
    """
    count = len(gram)
    scale = float(gram.diagonal().max())
    gram, linear = gram / scale, linear / np.sqrt(scale)
    if count == 2:
        return _between_two(gram, linear, factor)
    weights = np.full(count, 1.0 / count)
    for barrier in BARRIERS:
        for _ in range(50):
            grad, hessian = _derivatives(gram, linear, factor, weights)
            grad = grad - barrier / weights
            # In units of the weights themselves the barrier's part is the identity.
            scaled = weights[:, None] * hessian * weights + barrier * np.eye(count)
            step = weights * _newton(scaled, weights * grad, weights)
            decrease = -grad @ step
            if decrease <= 1e-3 * barrier:
                break
            moved = _search(gram, linear, factor, barrier, weights, step, decrease)
            if moved is None:
                break
            weights = moved
    return weights / weights.sum()


def _between_two(gram: np.ndarray, linear: np.ndarray, factor: float) -> np.ndarray:
    """Two weights, where the slope along the edge between them changes its sign: by bisection."""
    (a, b), c = gram[0].tolist(), float(gram[1, 1])
    rise = float(linear[0] - linear[1])
    low, high = 0.0, 1.0
    for _ in range(60):
        share = (low + high) / 2
        first, second = share * a + (1 - share) * b, share * b + (1 - share) * c
        norm = math.sqrt(max(share * first + (1 - share) * second, 0.0) + TOLERANCE**2)
        if rise + factor * (first - second) / norm > 0:
            high = share
        else:
            low = share
    return np.array([share, 1 - share])


def _norm(gram: np.ndarray, weights: np.ndarray) -> float:
    """``sqrt(w . gram w)``, smooth at 0."""
    return float(np.sqrt(max(weights @ gram @ weights, 0.0) + TOLERANCE**2))


def _derivatives(
    gram: np.ndarray, linear: np.ndarray, factor: float, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    norm, product = _norm(gram, weights), gram @ weights
    hessian = factor * (gram / norm - np.outer(product, product) / norm**3)
    return linear + factor * product / norm, hessian


def _newton(hessian: np.ndarray, grad: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The Newton step that keeps the sum, ``direction . step = 0``."""
    count = len(grad)
    system = np.zeros((count + 1, count + 1))
    system[:count, :count], system[count, :count], system[:count, count] = (
        hessian, direction, direction
    )  # fmt: skip
    return np.linalg.solve(system, np.append(-grad, 0.0))[:count]


def _search(
    gram: np.ndarray,
    linear: np.ndarray,
    factor: float,
    barrier: float,
    weights: np.ndarray,
    step: np.ndarray,
    decrease: float,
) -> np.ndarray | None:
    """The longest of ever shorter steps that stays inside and lowers the function enough.

    ``None`` where rounding leaves none: there is nothing more to gain.
    """

    def value(at: np.ndarray) -> float:
        return float(linear @ at + factor * _norm(gram, at) - barrier * np.log(at).sum())

    falling = step < 0
    length = 1.0
    if falling.any():
        length = min(1.0, 0.99 * float((-weights[falling] / step[falling]).min()))
    start = value(weights)
    for _ in range(60):
        moved = weights + length * step
        if value(moved) <= start - 0.25 * length * decrease + 1e-16:
            return moved
        length /= 2
    return None
