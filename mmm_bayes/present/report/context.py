"""What every section needs: the fit, words for its units, and the quantities that several show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from mmm_bayes.analysis import contributions as contribution
from mmm_bayes.analysis.predictive import MAX_DRAWS
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.present.plots.style import interval_name, period_name
from mmm_bayes.present.report.surface import Surface, surface
from mmm_bayes.present.report.words import DRAWS, NDArray

# Cells times draws above which draws are thinned: a panel's returns would take half a minute.
_ALL_DRAWS_UP_TO = 4_000_000


@dataclass(frozen=True, eq=False)
class Context:
    """A fit with the settings of its report.

    Attributes
    ----------
    fitted
        The fit.
    ci_prob
        Mass of all intervals.
    most
        Largest multiple of spend that curves show.
    """

    fitted: Fitted
    ci_prob: float = 0.9
    most: float = 2.0

    @property
    def data(self) -> MMMData:
        """The table."""
        return self.fitted.data

    @property
    def target(self) -> str:
        """Name of the target."""
        return self.data.roles.target or "target"

    @property
    def period(self) -> str:
        """Word for the time of one row."""
        return period_name(self.data.time_step)

    @property
    def interval(self) -> str:
        """Name of the intervals."""
        return interval_name(self.ci_prob)

    @property
    def window(self) -> str:
        """Dates of the table in words."""
        dates = self.data.dates
        return f"{dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}"

    @property
    def paid(self) -> list[int]:
        """Positions of the channels that money was spent on."""
        return [int(c) for c in np.flatnonzero(self.spend > 0)]

    @cached_property
    def spend(self) -> NDArray:
        """Spend of every channel over the window (channel,)."""
        return np.asarray(self.data.ds["spend"].values.sum((0, 1)), float)

    @cached_property
    def price(self) -> float | None:
        """Revenue of one unit of target, where it is the same everywhere."""
        values = self.data.ds["revenue_per_target"].values
        return float(values.flat[0]) if np.ptp(values) == 0 else None

    @cached_property
    def observed(self) -> NDArray:
        """Target of all geos together (date,)."""
        return np.asarray(self.data.ds["target"].values.sum(0), float)

    @property
    def max_draws(self) -> int | None:
        """Draws of totals: all of them, unless that takes long."""
        sizes = self.fitted.tree["posterior"].sizes
        work = sizes["chain"] * sizes["draw"] * self.data.num_geos * self.data.num_dates
        return None if work <= _ALL_DRAWS_UP_TO else MAX_DRAWS

    @cached_property
    def by_date(self) -> xr.DataArray:
        """Contributions of all components (chain, draw, component, date)."""
        return contribution.contributions(self.fitted, "date", max_draws=MAX_DRAWS)

    @cached_property
    def brought(self) -> tuple[xr.DataArray, xr.DataArray]:
        """Contribution of each channel (chain, draw, channel), in target and in revenue."""
        return contribution.media_totals(self.fitted, max_draws=self.max_draws)

    @cached_property
    def roas(self) -> xr.DataArray:
        """Return on ad spend (chain, draw, channel)."""
        return self.brought[1] / contribution.spend(self.data)

    @cached_property
    def marginal_roas(self) -> xr.DataArray:
        """Return of the next 1% of spend (chain, draw, channel)."""
        return contribution.marginal_roas(self.fitted, max_draws=self.max_draws)

    @cached_property
    def all_media(self) -> xr.DataArray:
        """Contribution of all channels together, in target (chain, draw)."""
        kinds = self.by_date["kind"].values
        media = self.by_date.isel(component=np.isin(kinds, ("media", "interaction")))
        return media.sum(("component", "date"))

    @cached_property
    def replicated(self) -> xr.DataArray:
        """Replicated target (chain, draw, geo, date), evenly thinned."""
        drawn = self.fitted.tree["posterior_predictive"].to_dataset()["target"]
        keep = max(1, MAX_DRAWS // drawn.sizes["chain"])
        count = drawn.sizes["draw"]
        if count > keep:
            drawn = drawn.isel(draw=np.linspace(0, count - 1, keep).round().astype(int))
        return drawn

    @cached_property
    def mean_by_date(self) -> NDArray:
        """Posterior mean of the expected target, all geos together (date,)."""
        return np.asarray(self.by_date.sum("component").mean(DRAWS).values)

    @cached_property
    def surface(self) -> Surface:
        """Revenue at other levels of spend."""
        return surface(self.fitted, self.most)

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return what the fit noted of itself."""
        return self.fitted.tree["posterior"].attrs.get(name, default)
