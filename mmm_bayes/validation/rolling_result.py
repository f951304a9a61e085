"""Result of a rolling-origin validation: forecasts and observations, scores, ROAS by fold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.analysis import projection
from mmm_bayes.analysis.forecast_errors import Errors
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.numbers import compact
from mmm_bayes.runtime.report import Report
from mmm_bayes.validation import scores
from mmm_bayes.validation.folds import Fold, Window

if TYPE_CHECKING:
    from mmm_bayes.present.plots.validation import RollingPlots

NDArray = np.ndarray[Any, Any]

_RHAT = 1.05  # beyond which chains of a fold did not agree


@final
@dataclass(frozen=True, eq=False)
class FoldForecast:
    """Result of one fold: its forecast, the observations, and its ROAS.

    Attributes
    ----------
    fold
        Positions of its dates.
    draws, naive
        Draws (draw, geo, step) of the model's forecast and of the seasonal naive one.
    observed
        Observed target (geo, step).
    scale
        Mean absolute error (geo,) of the seasonal naive within the training rows.
    roas
        Draws (draw, channel); NaN for channels without spend.
    rhat, divergent
        Largest R-hat of the fit, and its number of divergent draws.
    seconds
        Wall-clock time.
    """

    fold: Fold
    draws: NDArray
    naive: NDArray
    observed: NDArray
    scale: NDArray
    roas: NDArray
    rhat: float
    divergent: int
    seconds: float


@final
@dataclass(frozen=True, eq=False, repr=False)
class RollingOrigin(Report):
    """Forecasts from several origins, scored.

    Attributes
    ----------
    data, spec
        The whole table, and the model.
    folds
        Result of every fold.
    window, errors
        Kind of training window, and noise of the forecasts.
    roas_window
        First and last date of the window of the ROAS, the dates that all folds were trained on, or
        ``None`` if each fold has its own window.
    """

    data: MMMData
    spec: ModelSpec
    folds: tuple[FoldForecast, ...]
    window: Window
    errors: Errors
    roas_window: tuple[pd.Timestamp, pd.Timestamp] | None

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per forecast: fold, origin, geo, date, step, forecast, observation and scores."""
        return pd.concat([self._scored(f, total=False) for f in self.folds], ignore_index=True)

    @cached_property
    def totals(self) -> pd.DataFrame:
        """Like :attr:`table`, for the sum over geos."""
        return pd.concat([self._scored(f, total=True) for f in self.folds], ignore_index=True)

    def _scored(self, found: FoldForecast, *, total: bool) -> pd.DataFrame:
        fold, dates = found.fold, self.data.dates
        geos = ["total"] if total else self.data.geos
        steps = np.arange(1, fold.end - fold.origin + 1)
        draws, naive, observed, scale = found.draws, found.naive, found.observed, found.scale
        if total:
            draws, naive = draws.sum(1, keepdims=True), naive.sum(1, keepdims=True)
            observed = observed.sum(0, keepdims=True)
            past = self.data.ds["target"].values[:, fold.start : fold.origin].sum(0, keepdims=True)
            scale = naive_scale(past, self._period(fold))
        index = pd.DataFrame(
            {
                "fold": fold.number + 1,
                "origin": dates[fold.origin - 1],
                "geo": np.repeat(geos, len(steps)),
                "date": np.tile(dates[fold.origin : fold.end], len(geos)),
                "step": np.tile(steps, len(geos)),
            }
        )
        return scores.score_table(draws, naive, observed, scale, index)

    def _period(self, fold: Fold) -> int:
        return projection.season_length(self.data.time_step, fold.origin - fold.start)

    def summary(self, by: str | list[str] | None = None, *, total: bool = False) -> pd.DataFrame:
        """Average the scores.

        Parameters
        ----------
        by
            ``"fold"``, ``"step"``, ``"geo"``, a list of them, or ``None`` for all forecasts.
        total
            Score the sum over geos rather than single geos.

        Returns
        -------
        pandas.DataFrame
            See :func:`mmm_bayes.validation.scores.summarise` for the columns.
        """
        keep = [by] if isinstance(by, str) else list(by or [])
        if unknown := [name for name in keep if name not in ("fold", "step", "geo")]:
            raise ValueError(f"by accepts 'fold', 'step' and 'geo', but got {unknown}.")
        return scores.summarise(self.totals if total else self.table, keep)

    def roas(self, ci_prob: float = 0.9) -> pd.DataFrame:
        """Summarise the ROAS of each fold: one row per fold and channel, with an interval."""
        tail = 0.5 * (1.0 - ci_prob)
        rows = []
        for found in self.folds:
            low, middle, high = np.quantile(found.roas, [tail, 0.5, 1.0 - tail], axis=0)
            for c, channel in enumerate(self.data.channels):
                if np.isfinite(middle[c]):
                    rows.append((found.fold.number + 1, channel, middle[c], low[c], high[c]))
        columns = ["fold", "channel", "median", "lower", "upper"]
        return pd.DataFrame(rows, columns=columns).set_index(["fold", "channel"])

    def roas_stability(self) -> pd.DataFrame:
        r"""Measure how much the ROAS of each channel varies between folds.

        Returns
        -------
        pandas.DataFrame
            One row per channel: ``mean`` of the folds' medians, their coefficient of variation
            ``cv``, the ``lowest`` and ``highest``, ``max_z``, the largest difference of two folds
            relative to the root of the sum of their variances, and ``between``, these folds. Folds
            share rows, so that a ``max_z`` above 2 is more than chance explains; below 1 the
            difference is well within the uncertainty that each fit reports.
        """
        rows = {}
        for c, channel in enumerate(self.data.channels):
            draws = np.array([found.roas[:, c] for found in self.folds])
            if not np.isfinite(draws).all():
                continue
            medians, sds = np.median(draws, 1), np.maximum(draws.std(1), np.finfo(float).tiny)
            z = np.abs(medians[:, None] - medians) / np.hypot(sds[:, None], sds)
            i, j = np.unravel_index(int(z.argmax()), z.shape)
            mean = float(medians.mean())
            rows[channel] = {
                "mean": mean,
                "cv": float(medians.std(ddof=min(1, len(medians) - 1))) / mean if mean else np.nan,
                "lowest": float(medians.min()),
                "highest": float(medians.max()),
                "max_z": float(z.max()),
                "between": f"{min(i, j) + 1} and {max(i, j) + 1}",
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("channel")

    def to_dataset(self) -> xr.Dataset:
        """Return draws ``(fold, sample, geo, step)``, the observations, and draws of the ROAS."""
        return xr.Dataset(
            {
                "forecast": (("fold", "sample", "geo", "step"), self._stack("draws")),
                "observed": (("fold", "geo", "step"), self._stack("observed")),
                "roas": (("fold", "sample", "channel"), self._stack("roas")),
            },
            {
                "fold": [found.fold.number + 1 for found in self.folds],
                "geo": self.data.geos,
                "channel": self.data.channels,
                "step": np.arange(1, self.folds[0].observed.shape[-1] + 1),
            },
        )

    def _stack(self, name: str) -> NDArray:
        return np.stack([getattr(found, name) for found in self.folds])

    @property
    def plot(self) -> RollingPlots:
        """Figures: ``forecasts()``, ``scores()``, ``roas()``, ``calibration()``."""
        from mmm_bayes.present.plots.validation import RollingPlots

        return RollingPlots(self)

    @property
    def notes(self) -> tuple[str, ...]:
        """Caveats of the scores, and folds with sampling problems."""
        found = [
            "Spend and controls of the forecast dates are those of the table: a real forecast has "
            "to plan spend and to project controls.",
        ]
        bad = [f.fold.number + 1 for f in self.folds if not f.rhat < _RHAT]
        if bad:
            found.append(f"Chains disagree (R-hat above {_RHAT}) in folds {bad}: raise num_warmup.")
        divergent = sum(f.divergent for f in self.folds)
        if divergent:
            found.append(f"{divergent} draws diverged over all folds: raise target_accept.")
        return tuple(found)

    def _lines(self) -> list[str]:
        row = self.summary().iloc[0]
        rows = self.folds[0].observed.shape[-1]
        lines = [
            f"Rolling origin: {len(self.folds)} folds, {rows} dates ahead, {self.window} window, "
            f"{self.errors} noise",
            f"  MAPE {row['mape']:.1%}, MASE {row['mase']:.2f}, CRPS {compact(row['crps'], 4)}, "
            f"{row['skill']:+.0%} against the seasonal naive",
            f"  coverage of 50% and 90% intervals: {row['coverage_50']:.0%}, "
            f"{row['coverage_90']:.0%} of {row['n']:.0f} forecasts",
        ]
        stability = self.roas_stability()
        if len(stability):
            worst = str(stability["max_z"].idxmax())
            over = "own windows" if self.roas_window is None else "dates that all folds share"
            lines.append(
                f"  ROAS ({over}): varies most for {worst}, {stability['lowest'][worst]:.2f} to "
                f"{stability['highest'][worst]:.2f} (z {stability['max_z'][worst]:.1f})"
            )
        return lines + [f"  {note}" for note in self.notes]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def to_frame(self) -> pd.DataFrame:
        """Return the average scores of every fold."""
        return self.summary("fold")

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A note on the setting, and a warning for folds that failed."""
        first, *others = self.notes
        bad = (Finding("folds", "warning", text) for text in others)
        return (*bad, Finding("planned_spend", "note", first))


def naive_scale(past: NDArray, period: int) -> NDArray:
    """Compute the mean absolute error (geo,) of the seasonal naive within series (geo, time)."""
    error = np.abs(past[:, period:] - past[:, :-period]).mean(-1)
    return np.where(error > 0, error, 1.0)
