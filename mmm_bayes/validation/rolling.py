"""Rolling-origin validation: fit the past, forecast the dates that follow, and score."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import jax
import numpy as np

from mmm_bayes._typing import RngKey
from mmm_bayes._version import __version__
from mmm_bayes.analysis import contributions as parts
from mmm_bayes.analysis import projection
from mmm_bayes.analysis.forecast import forecast
from mmm_bayes.analysis.forecast_errors import Errors, resolve_errors
from mmm_bayes.data.digest import table_digest
from mmm_bayes.data.lift_tests import LiftTest, to_json
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit import MMM, with_sampler
from mmm_bayes.inference.settings import SamplerSettings, given
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.runtime.deprecation import renamed, rng_key_first, spelled_out
from mmm_bayes.runtime.progress import Progress, choose_progress
from mmm_bayes.runtime.run_folder import RunFolder
from mmm_bayes.runtime.streams import as_key, generator
from mmm_bayes.validation.folds import Fold, Window, common_window, make_folds
from mmm_bayes.validation.not_yet_on import check_not_yet_on
from mmm_bayes.validation.refit import divergent_draws, refit, worst_rhat
from mmm_bayes.validation.rolling_result import FoldForecast, RollingOrigin, naive_scale

if TYPE_CHECKING:
    import os

NDArray = np.ndarray[Any, Any]

_DRAWS = 1000  # kept of each forecast, enough for quantiles accurate to a percent
_MIN_COMMON = 8  # fewest dates over which a ROAS is compared between folds


@rng_key_first(position=1)
@renamed(folds="num_folds")
@spelled_out(SamplerSettings)
def rolling_origin(
    rng_key: RngKey,
    model: MMM,
    *,
    num_folds: int = 5,
    horizon: int | None = None,
    min_train: int | None = None,
    step: int | None = None,
    window: Window = "expanding",
    errors: Errors = "auto",
    store: str | os.PathLike[str] | None = None,
    progress: bool | Progress | None = None,
    on_fold: Callable[[int, int], None] | None = None,
    **settings: Unpack[SamplerSettings],
) -> RollingOrigin:
    r"""Fit the past and forecast the dates that follow, from several origins.

    No information from a fold's future enters its fit: scales, the time axis of the trend and the
    reference of priors on ROAS are those of the training rows. Spend and controls of the forecast
    dates are those of the table. All folds share one compiled program
    (:mod:`mmm_bayes.validation.refit`).

    Parameters
    ----------
    rng_key
        Random key, or an integer seed; the draws of a fold depend only on it and
        the fold.
    model
        Table, specification and lift tests; each fold uses the tests that ended by its
        origin.
    num_folds
        Number of origins; the last forecast ends on the last date of the table.
    horizon
        Number of dates forecast from each origin; by default a quarter of a year.
    min_train
        Fewest training dates; the length of a sliding window.
    step
        Number of dates between origins; by default the horizon.
    window
        ``"expanding"`` or ``"sliding"``.
    errors
        Noise of the forecasts; see :func:`mmm_bayes.analysis.forecast.forecast`.
    store
        Folder for finished folds; the same call then continues where it stopped.
    progress
        ``True``, ``False``, or a reporter (:mod:`mmm_bayes.runtime.progress`); by default a bar
        where somebody watches.
    on_fold
        Called after each fold with the number finished and the total.
    num_warmup, num_samples, num_chains, target_accept, max_tree_depth, chain_method, precision, \
block
        Settings of the sampler; by default those of the specification.

    Returns
    -------
    RollingOrigin

    Raises
    ------
    DataError
        If there is no room for the folds.
    RunFolderError
        If the folder holds the folds of another validation, or is in use.

    References
    ----------
    Tashman (2000), Out-of-sample tests of forecasting accuracy, International Journal of
    Forecasting 16.
    """
    rng_key = as_key(rng_key)
    data, spec = model.data, with_sampler(model.spec, given(settings))
    errors = resolve_errors(spec, errors)
    plan = make_folds(data, num_folds, horizon, min_train, step, window)
    check_not_yet_on(spec, data, [(fold.start, fold.origin) for fold in plan])
    shared = common_window(plan, _MIN_COMMON)
    rows = max(fold.origin - fold.start for fold in plan)
    found = []
    with contextlib.ExitStack() as stack:
        kept = None
        if store is not None:
            identity = _identity(rng_key, model, spec, plan, errors)
            kept = stack.enter_context(RunFolder(store, "folds of a validation", identity))
        reporter = stack.enter_context(contextlib.closing(choose_progress(progress)))
        reporter.start(["rolling_origin"], len(plan), "folds")
        for fold in plan:
            name = f"fold_{fold.number:03d}"
            arrays = None if kept is None else kept.read(name)
            if arrays is None:
                key = jax.random.fold_in(rng_key, fold.number)
                one = _run(key, data, spec, fold, rows, shared, errors, model.lift_tests)
                if kept is not None:
                    kept.write(name, _to_arrays(one))
            else:
                one = _from_arrays(fold, arrays)
            found.append(one)
            reporter.update(0, len(found))
            if on_fold is not None:
                on_fold(len(found), len(plan))
    dates = None if shared is None else (data.dates[shared[0]], data.dates[shared[1] - 1])
    return RollingOrigin(data, spec, tuple(found), window, errors, dates)


def _identity(
    rng_key: jax.Array, model: MMM, spec: ModelSpec, plan: list[Fold], errors: str
) -> dict[str, Any]:
    return {
        "table": table_digest(model.data),
        "lift_tests": to_json(model.lift_tests),
        "model": spec.model_dump(mode="json"),
        "folds": [list(fold) for fold in plan],
        "errors": errors,
        "seed": np.asarray(jax.random.key_data(rng_key)).tolist(),
        "version": __version__,
    }


def _run(
    rng_key: jax.Array,
    data: MMMData,
    spec: ModelSpec,
    fold: Fold,
    rows: int,
    shared: tuple[int, int] | None,
    errors: Errors,
    tests: Sequence[LiftTest],
) -> FoldForecast:
    began = time.perf_counter()
    key_fit, key_forecast, key_naive = jax.random.split(rng_key, 3)
    train = between(data, fold.start, fold.origin)
    future = between(data, fold.origin, fold.end)
    fitted = refit(key_fit, spec, train, rows, tests)
    made = forecast(key_forecast, fitted, future, errors=errors, max_draws=_DRAWS)
    drawn = made.draws["target"].transpose("chain", "draw", "geo", "date").values
    draws = drawn.reshape(-1, *drawn.shape[2:])
    period = projection.season_length(data.time_step, train.num_dates)
    past, horizon = train.ds["target"].values, fold.end - fold.origin
    rule: projection.Rule = "seasonal" if period > 1 else "last"
    naive = projection.project(past, horizon, period, rule)
    rng = generator(key_naive)
    window = shared or (fold.start, fold.origin)
    return FoldForecast(
        fold,
        draws.astype(np.float32),
        projection.draw(naive, past, rng.random(len(draws))).astype(np.float32),
        future.ds["target"].values,
        naive_scale(past, period),
        _roas(fitted, between(data, *window)).astype(np.float32),
        worst_rhat(fitted),
        divergent_draws(fitted),
        time.perf_counter() - began,
    )


def between(data: MMMData, start: int, stop: int) -> MMMData:
    """Select dates of a table by position."""
    return data.subset(slice(data.dates[start], data.dates[stop - 1]))


def _roas(fitted: Fitted, window: MMMData) -> NDArray:
    """Compute draws (draw, channel) of the ROAS over a window of the table."""
    revenue = parts.media_contributions(fitted, unit="revenue", data=window, max_draws=_DRAWS)
    found = (revenue / parts.spend(window)).transpose("chain", "draw", "channel")
    return found.values.reshape(-1, found.sizes["channel"])


def _to_arrays(found: FoldForecast) -> dict[str, NDArray]:
    names = ("draws", "naive", "observed", "scale", "roas", "rhat", "divergent", "seconds")
    return {name: np.asarray(getattr(found, name)) for name in names}


def _from_arrays(fold: Fold, arrays: dict[str, NDArray]) -> FoldForecast:
    values: dict[str, Any] = dict(arrays)
    values["rhat"] = float(values["rhat"])
    values["divergent"] = int(values["divergent"])
    values["seconds"] = float(values["seconds"])
    return FoldForecast(fold, **values)
