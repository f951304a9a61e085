"""Build the arrays of the compiled programs from a checked table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.data.scaling import Scaling
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model import baseline, calibration
from mmm_bayes.model.linear_block import prepare_block
from mmm_bayes.model.media import EffectReference
from mmm_bayes.model.structure import ModelArrays, Structure

NDArray = np.ndarray[Any, Any]


class AddedRows(NamedTuple):
    """Rows assembled from parts of observed rows, ``M`` per geo, in scaled units.

    Attributes
    ----------
    media
        Positions in time (channel, geo, M) of the rows that a channel's exposure is copied from.
    calendar
        Positions in time (geo, M) of the rows that trend, seasonality, events and offset come from.
    controls
        Values of the controls (geo, M, control).
    target
        Values of the target (geo, M).
    """

    media: NDArray
    calendar: NDArray
    controls: NDArray
    target: NDArray


def scaled_media(data: MMMData, scaling: Scaling) -> NDArray:
    """Return scaled exposure with time innermost: (channel, geo, time)."""
    exposure, population = data.ds["exposure"].values, data.ds["population"].values
    return np.moveaxis(scaling.media(exposure, population), 2, 0)


def lagged(media: NDArray, history: NDArray | None, max_lag: int) -> NDArray:
    """Return the lag tensor (channel, geo, lag, time), as NumPy on the host."""
    padded = _with_history(media, history, max_lag)
    windows = np.lib.stride_tricks.sliding_window_view(padded, max_lag, axis=-1)
    return np.ascontiguousarray(np.swapaxes(windows[..., ::-1], -1, -2))


def _with_history(media: NDArray, history: NDArray | None, max_lag: int) -> NDArray:
    before = np.zeros((*media.shape[:-1], max_lag - 1))
    if history is not None and max_lag > 1:
        known = min(max_lag - 1, history.shape[-1])
        before[..., before.shape[-1] - known :] = history[..., history.shape[-1] - known :]
    return np.concatenate([before, media], -1)


def log_rate(data: MMMData) -> float:
    """Return the logarithm of the mean count per head, at which count models are centred."""
    per_head = data.ds["target"].values / data.ds["population"].values[:, None]
    mean = float(np.mean(per_head))
    return float(np.log(mean)) if mean > 0 else 0.0


def effect_reference(data: MMMData, scaling: Scaling) -> EffectReference:
    """Return the revenue and the target per unit of linear predictor in the training window."""
    target = data.ds["target"].values
    if scaling.link == "identity":
        population = data.ds["population"].values[:, None]
        weight = np.broadcast_to(population * scaling.target_scale, target.shape)
    else:
        weight = target * scaling.target_scale
    return EffectReference(
        weight=weight * data.ds["revenue_per_target"].values,
        target_weight=weight,
        spend=data.ds["spend"].values.sum((0, 1)),
        target_total=np.asarray(target.sum()),
    )


def training_arrays(
    structure: Structure,
    data: MMMData,
    scaling: Scaling,
    frame: baseline.TimeFrame,
    dtype: Any,
    tests: Sequence[LiftTest] = (),
) -> ModelArrays:
    """Build the arrays of a training table and its lift tests."""
    reference = effect_reference(data, scaling)
    arrays = window_arrays(structure, data, scaling, frame, None, log_rate(data), reference)
    population = data.ds["population"].values
    target = scaling.target(data.ds["target"].values, population)
    block = prepare_block(structure, arrays.design)
    experiments = calibration.experiments_of(data, tests, structure.media, scaling)
    return cast(arrays._replace(target=target, block=block, experiments=experiments), dtype)


def window_arrays(
    structure: Structure,
    data: MMMData,
    scaling: Scaling,
    frame: baseline.TimeFrame,
    history: NDArray | None,
    rate: float,
    reference: EffectReference,
) -> ModelArrays:
    """Build the arrays of any window; ``history`` (channel, geo, time) is the media before it."""
    media = scaled_media(data, scaling)
    max_lag = structure.media.max_lag
    if structure.media.adstock_first:
        media = lagged(media, history, max_lag)
    else:
        media = _with_history(media, history, max_lag)
    controls = scaling.controls(data.ds["controls"].values)
    population = data.ds["population"].values
    shape = (data.num_geos, data.num_dates)
    offset = np.zeros(shape)
    if scaling.link == "count":
        offset = np.broadcast_to(np.log(population)[:, None] + rate, shape).copy()
    return ModelArrays(
        media=media,
        design=baseline.design_columns(structure.spec, frame, data.dates, controls),
        target=np.zeros(shape),
        log_offset=offset,
        reference=reference,
        block=None,
    )


def augmented_arrays(
    structure: Structure, arrays: ModelArrays, rows: AddedRows, likelihood_weight: NDArray
) -> ModelArrays:
    """Append rows along the time axis of training arrays, and weight the likelihood of every row.

    A channel of an added row takes the whole window of lags of the row it was copied from, so the
    adstock remains free. Trend, seasonality, events and the offset of counts are taken together,
    from the row of the calendar. Priors on ROAS and shares refer to the observed rows only.

    Parameters
    ----------
    structure, arrays
        The model, and the arrays of its table with ``n`` dates.
    rows
        Rows to append.
    likelihood_weight
        Factor (geo, n + M) of each row's log likelihood, 0 or more; observed rows first.

    Raises
    ------
    ValueError
        If saturation comes first: lagged effects then need the whole series of exposure.
    """
    if not structure.media.adstock_first:
        raise ValueError(
            'Rows can be appended only with media.order = "adstock_first": with saturation first, '
            "the effect of a row depends on the whole series of exposure before it."
        )
    geo = np.arange(rows.calendar.shape[0])[:, None]
    lent = np.take_along_axis(arrays.media, rows.media[:, :, None, :], axis=-1)
    design = arrays.design[geo, rows.calendar]
    if structure.controls:
        design[..., -len(structure.controls) :] = rows.controls
    none = np.zeros(rows.target.shape)
    reference = arrays.reference._replace(
        weight=np.concatenate([arrays.reference.weight, none], 1),
        target_weight=np.concatenate([arrays.reference.target_weight, none], 1),
    )
    design = np.concatenate([arrays.design, design], 1)
    result = ModelArrays(
        media=np.concatenate([arrays.media, lent], -1),
        design=design,
        target=np.concatenate([arrays.target, rows.target], 1),
        log_offset=np.concatenate([arrays.log_offset, arrays.log_offset[geo, rows.calendar]], 1),
        reference=reference,
        block=prepare_block(
            structure, np.asarray(design, float), np.asarray(likelihood_weight, float)
        ),
        likelihood_weight=likelihood_weight,
        experiments=arrays.experiments,
    )
    return cast(result, arrays.target.dtype)


def cast(arrays: ModelArrays, dtype: Any) -> ModelArrays:
    """Convert every array to one floating type, except arrays of integer positions."""
    return jax.tree.map(
        lambda x: np.asarray(x, None if np.asarray(x).dtype.kind == "i" else dtype), arrays
    )
