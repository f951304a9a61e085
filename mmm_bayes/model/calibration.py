r"""Lift tests in the likelihood: the model's own counterfactual over the dates and geos of a test.

A test changes the exposure of its channels from :math:`x^0` to :math:`x^1` in some rows. With the
adstock weights, saturation and coefficients of the model

.. math:: \Delta\eta_{gt} = \sum_c \beta_{cg}\, [S_c((w_c * x^1_{cg})(t)) -
          S_c((w_c * x^0_{cg})(t))],

so spend before, during and after the change, up to the last measured day, has the effect that the
model gives it. The lift is :math:`\sum_{gt} s\, n_g\, \Delta\eta_{gt}` under an identity link
(``s`` the target's scale, ``n`` heads), and :math:`\sum_{gt} y_{gt}\,[1 - \exp(-s\,
\Delta\eta_{gt})]` under a logarithmic one if the table includes the change (the errors of each row
are kept). Its measurement is distributed as :math:`N(\mathrm{lift}, \mathrm{standard\ error}^2)`.

Under an identity link the lift is linear in the coefficients, including geo differences that are
integrated out: see :mod:`mmm_bayes.inference.functionals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.data.lift_exposure import PlacedTest, as_weighted_sum, place_tests
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.data.scaling import Scaling
from mmm_bayes.data.schema import MMMData
from mmm_bayes.inference.functionals import Functionals
from mmm_bayes.model import media
from mmm_bayes.model.media import MediaStructure, Params

Array = jax.Array
Leaf = Any  # a JAX array on the device, a NumPy array on the host
NDArray = np.ndarray[Any, Any]


class Experiments(NamedTuple):
    """Lift tests as arrays, all values divided by the standard errors.

    A *case* is one geo of one test. A *slot* of a channel is a case in which its spend changes.
    All channels have as many slots as the channel with the most; unused slots have no exposure.

    Attributes
    ----------
    media
        Exposure over the measured dates (channel, 2 * slot, ...), first with the change and then
        without: a lag tensor, or series with their history.
    case
        Case (channel, slot) of each slot.
    test, geo
        Test and geo (case,) of each case.
    weight
        Measured value per unit of target (case, date); with an identity link, per unit of the
        linear predictor.
    direction
        1 if the change comes on top of the table's spend, -1 if the table includes it (case,).
    exponent
        Scale of the linear predictor in the exponent; zero with an identity link.
    observed
        Measured values (test,).
    """

    media: Leaf
    case: Leaf
    test: Leaf
    geo: Leaf
    weight: Leaf
    direction: Leaf
    exponent: Leaf
    observed: Leaf


def experiments_of(
    data: MMMData, tests: Sequence[LiftTest], structure: MediaStructure, scaling: Scaling
) -> Experiments | None:
    """Build the arrays of lift tests on a table; ``None`` without tests.

    Raises
    ------
    DataError
        Listing every reason why a test does not fit the table.
    """
    if not tests:
        return None
    placed = place_tests(data, tests)
    cases = [
        (k, int(g)) for k, own in enumerate(placed) for g in np.flatnonzero(own.changed.any(1))
    ]
    width = max(int(own.measured.any(0).sum()) for own in placed)
    channels = list(structure.channels)
    slots = [
        [at for at, (k, _) in enumerate(cases) if channel in placed[k].exposure]
        for channel in channels
    ]
    count = max(len(own) for own in slots)
    before = structure.max_lag - 1
    shape = (structure.max_lag, width) if structure.adstock_first else (before + width,)
    exposure = np.zeros((len(channels), 2, count, *shape))
    case = np.zeros((len(channels), count), int)
    heads = data.ds["population"].values
    for c, channel in enumerate(channels):
        for b, at in enumerate(slots[c]):
            k, g = cases[at]
            case[c, b] = at
            for arm in (0, 1):  # with the change, and without it
                path = placed[k].exposure[channel][arm][g] / (heads[g] * scaling.media_scale[c])
                exposure[c, arm, b] = _window(path, placed[k], width, structure)
    weights, observed = _weights(data, placed, cases, width, scaling)
    return Experiments(
        media=exposure.reshape(len(channels), 2 * count, *shape),
        case=case,
        test=np.array([k for k, _ in cases]),
        geo=np.array([g for _, g in cases]),
        weight=weights,
        direction=np.array([-1.0 if placed[k].test.recorded else 1.0 for k, _ in cases]),
        exponent=np.asarray(_exponent(scaling)),
        observed=observed,
    )


def _exponent(scaling: Scaling) -> float:
    return {"identity": 0.0, "log": float(scaling.target_scale), "count": 1.0}[scaling.link]


def _window(path: NDArray, placed: PlacedTest, width: int, structure: MediaStructure) -> NDArray:
    """Return one geo's exposure over the measured dates and before, as the model takes it."""
    first = int(np.flatnonzero(placed.measured.any(0))[0])
    before = structure.max_lag - 1
    series = np.concatenate([np.zeros(before), path, np.zeros(width)])[
        first : first + before + width
    ]
    if not structure.adstock_first:
        return series
    windows = np.lib.stride_tricks.sliding_window_view(series, structure.max_lag)
    return windows[:, ::-1].T


def _weights(
    data: MMMData,
    placed: Sequence[PlacedTest],
    cases: Sequence[tuple[int, int]],
    width: int,
    scaling: Scaling,
) -> tuple[NDArray, NDArray]:
    """Return outcome weights (case, date) and measurements (test,), over standard errors."""
    heads, target = data.ds["population"].values, data.ds["target"].values
    scales = [as_weighted_sum(data, own) for own in placed]
    result = np.zeros((len(cases), width))
    for at, (k, g) in enumerate(cases):
        weight, _, error = scales[k]
        dates = placed[k].measured.any(0)
        unit = scaling.target_scale * heads[g] if scaling.link == "identity" else target[g, dates]
        result[at, : dates.sum()] = weight[g, dates] * unit / error
    return result, np.array([value / error for _, value, error in scales])


def _differences(structure: MediaStructure, params: Params, given: Experiments) -> Array:
    """Return saturated exposure with the change less without it (channel, slot, date)."""
    curves = media.response(structure, params, given.media, given.weight.shape[-1])
    with_change, without = jnp.split(curves, 2, axis=1)
    return with_change - without


def predicted(
    structure: MediaStructure,
    params: Params,
    coefficients: Array,
    given: Experiments,
    num_geos: int,
) -> Array:
    """Return the value that the model predicts for each test (test,), over its standard error.

    ``coefficients`` is (channel, geo), or (channel, 1) if geos share them.
    """
    differences = _differences(structure, params, given)
    n = coefficients.shape[0]
    every = jnp.broadcast_to(coefficients, (n, num_geos))
    own = jnp.take_along_axis(every, given.geo[given.case], axis=1)
    change = jnp.zeros(given.weight.shape, differences.dtype)
    change = change.at[given.case].add(own[:, :, None] * differences)
    # As the exponent tends to zero, expm1 over it tends to the identity link.
    signed = given.direction[:, None] * given.exponent
    curved = jnp.expm1(signed * change) / jnp.where(signed == 0, 1.0, given.direction[:, None])
    change = jnp.where(signed == 0, change, curved)
    by_case = jnp.sum(given.weight * change, -1)
    return jnp.zeros(given.observed.shape, by_case.dtype).at[given.test].add(by_case)


def functionals(
    structure: MediaStructure,
    params: Params,
    coefficients: Array,
    given: Experiments,
    num_geos: int,
) -> Functionals:
    """Express tests as functionals of the geo differences of coefficients; identity link only."""
    differences = _differences(structure, params, given)
    loads = jnp.sum(given.weight[given.case] * differences, -1)  # (channel, slot)
    channel = jnp.broadcast_to(jnp.arange(loads.shape[0])[:, None], loads.shape)
    shape = (given.observed.shape[0], num_geos, loads.shape[0])
    rows = jnp.zeros(shape, loads.dtype)
    rows = rows.at[given.test[given.case], given.geo[given.case], channel].add(loads)
    every = jnp.broadcast_to(coefficients, (coefficients.shape[0], num_geos))
    return Functionals(rows, jnp.einsum("mgc,cg->m", rows, every), given.observed)
