"""The data of a marketing-mix model: labelled arrays in the units of the table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Unpack, final

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.data import summary
from mmm_bayes.data.dataset_layout import DIMS, build_dataset, wide_table
from mmm_bayes.data.date_selection import date_positions
from mmm_bayes.data.load import LoadedTable, load_file, load_future, load_table, widen
from mmm_bayes.data.media_scale import keep_reference
from mmm_bayes.data.roles import Channels, FileRoleSettings, Roles, RoleSettings, Spend
from mmm_bayes.data.spend_change import change_spend
from mmm_bayes.data.time_step import TimeStep
from mmm_bayes.runtime.deprecation import named_arguments, old_name, spelled_out
from mmm_bayes.runtime.findings import DataError, DataWarning, Finding
from mmm_bayes.runtime.visible import shown_safely

__all__ = ["DataError", "DataWarning", "Finding", "MMMData"]


@final
@dataclass(frozen=True, eq=False, repr=False)
class MMMData:
    """Target, media, controls and their dates, checked.

    Build it with `from_dataframe`, `from_csv`, `from_parquet`, `from_long` or `from_arrays`.

    Attributes
    ----------
    ds : xarray.Dataset
        Dimensions ``geo, date, channel, control`` (national data have the one geo
        ``"national"``). Variables, all float64 and in the units of the table:
        ``target (geo, date)``, ``spend`` and ``exposure (geo, date, channel)``,
        ``controls (geo, date, control)``, ``population (geo)`` (1 when not given),
        ``revenue_per_target (geo, date)`` (1 when the target is revenue), and the boolean
        ``paid (channel)``, False for organic media, whose spend is 0.
    findings : tuple of Finding
        Warnings of the checks.
    """

    ds: xr.Dataset
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        for name, dims in DIMS.items():
            if name not in self.ds or self.ds[name].dims != dims:
                found = f"has dimensions {self.ds[name].dims}" if name in self.ds else "is missing"
                raise ValueError(
                    f"The variable {name!r} should have dimensions {dims}, but {found}. Build "
                    "MMMData with MMMData.from_dataframe or MMMData.from_arrays."
                )
        if "roles" not in self.ds.attrs:
            raise ValueError(
                "The dataset lacks the attribute 'roles'. Build MMMData with "
                "MMMData.from_dataframe or MMMData.from_arrays."
            )

    # ------------------------------------------------------------------ construction

    @classmethod
    @named_arguments
    def from_dataframe(
        cls,
        df: pd.DataFrame,
        *,
        date: str,
        target: str | None,
        channels: Channels,
        spend: Spend = None,
        controls: Channels | None = (),
        geo: str | None = None,
        population: str | Mapping[str, float] | pd.Series | None = None,
        revenue_per_target: str | float | None = None,
        date_marks: Literal["start", "end"] | None = None,
        min_rows: int | None = None,
    ) -> MMMData:
        """Read a wide table: one row per date, or per geo and date.

        Parameters
        ----------
        df : pandas.DataFrame
            Rows in any order; columns that are not named are ignored.
        date, target : str
            Columns. Dates may be daily to yearly, in any form: datetimes with or without a time
            zone, periods, Arrow dates, text, ``yyyymmdd``, day numbers of spreadsheets, years.
            Where a column can be read in two ways (day or month first), it is refused.
        channels : list of str, or dict of str to str
            Columns of media units (impressions, clicks, or spend itself), or
            ``{channel name: column}``.
        spend : list of str, or dict of str to (str or None), optional
            Spend columns in the order of ``channels``, or by channel; None in the dict marks
            unpaid media. By default spend is the exposure.
        controls : list of str, or dict of str to str
            Numeric or true/false columns.
        geo, population : str, optional
            Columns; ``population`` may also be a dict or Series by geo.
        revenue_per_target : str or float, optional
            Column or number; None when the target is revenue.
        date_marks : {"start", "end"}, optional
            Whether a date is the first or the last day of the week, month or quarter that its row
            stands for. By default month ends are last days and all other dates first days; that is
            an assumption for weeks dated on other days than Mondays, and is printed as such.
        min_rows : int, optional
            Smallest number of dates that is accepted. By default the table needs more rows than
            the simplest model has coefficients (an intercept, and one per channel and control).

        Returns
        -------
        MMMData

        Raises
        ------
        DataError
            Listing every problem of the table, also in ``.findings``.

        Warns
        -----
        DataWarning
            Once, listing everything that may need attention.

        Examples
        --------
        >>> import pandas as pd
        >>> df = pd.DataFrame(
        ...     {
        ...         "week": pd.date_range("2024-01-01", periods=12, freq="W-MON"),
        ...         "revenue": [90, 92, 97, 95, 99, 94, 96, 93, 98, 91, 97, 95],
        ...         "tv": [0, 3, 5, 2, 4, 0, 1, 0, 5, 0, 3, 2],
        ...     }
        ... )
        >>> MMMData.from_dataframe(df, date="week", target="revenue", channels=["tv"])
        MMMData
          data     national, 12 dates, 2024-01-01 to 2024-03-18 (W-MON)
          rows     one week, starting on its date
          target   revenue
          channels tv
          controls (none)
        """
        loaded = load_table(
            df,
            date=date,
            target=target,
            channels=channels,
            spend=spend,
            controls=controls,
            geo=geo,
            population=population,
            revenue_per_target=revenue_per_target,
            date_marks=date_marks,
            min_rows=min_rows,
        )
        return cls._from_loaded(loaded)

    @classmethod
    @spelled_out(FileRoleSettings)
    def from_file(
        cls,
        path: str | os.PathLike[str],
        format: Literal["csv", "parquet"] | None = None,
        **roles: Unpack[FileRoleSettings],
    ) -> MMMData:
        """Read a CSV or parquet file; the format follows the suffix when it is not given.

        ``roles`` are the keywords of `from_dataframe`; with ``variable`` and ``value`` among them
        the file is long (see `from_long`).
        """
        return cls._from_loaded(load_file(path, format, **roles))

    @classmethod
    @spelled_out(FileRoleSettings)
    def from_csv(cls, path: str | os.PathLike[str], **roles: Unpack[FileRoleSettings]) -> MMMData:
        """Read a CSV file; ``roles`` are the keywords of `from_dataframe`."""
        return cls.from_file(path, "csv", **roles)

    @classmethod
    @spelled_out(FileRoleSettings)
    def from_parquet(
        cls, path: str | os.PathLike[str], **roles: Unpack[FileRoleSettings]
    ) -> MMMData:
        """Read a parquet file; ``roles`` are the keywords of `from_dataframe`."""
        return cls.from_file(path, "parquet", **roles)

    @classmethod
    @spelled_out(RoleSettings)
    def from_long(
        cls, df: pd.DataFrame, *, variable: str, value: str, **roles: Unpack[RoleSettings]
    ) -> MMMData:
        """Read a long table, one row per date, (geo) and variable; see `load.widen`."""
        keys = [key for key in (roles.get("date"), roles.get("geo")) if key is not None]
        wide = widen(df, keys=keys, variable=variable, value=value)
        return cls._from_loaded(load_table(wide, **roles))

    @classmethod
    def _from_loaded(cls, loaded: LoadedTable) -> MMMData:
        return replace(cls.from_arrays(**loaded.arrays), findings=loaded.findings)

    @classmethod
    def from_arrays(
        cls,
        *,
        dates: pd.DatetimeIndex,
        target: np.ndarray,
        spend: np.ndarray,
        channels: Sequence[str],
        exposure: np.ndarray | None = None,
        controls: np.ndarray | None = None,
        control_names: Sequence[str] = (),
        geos: Sequence[str] | None = None,
        population: np.ndarray | None = None,
        revenue_per_target: np.ndarray | float | None = None,
        paid: np.ndarray | None = None,
        roles: Roles | None = None,
        step: TimeStep | None = None,
        date_form: str = "datetime",
    ) -> MMMData:
        """Label arrays of shape ``(geo, date[, channel or control])``, without checks.

        ``roles`` name the columns of `to_frame`; by default they are the names given here.
        """
        ds = build_dataset(
            dates=dates,
            target=target,
            spend=spend,
            channels=channels,
            exposure=exposure,
            controls=controls,
            control_names=control_names,
            geos=geos,
            population=population,
            revenue_per_target=revenue_per_target,
            paid=paid,
            roles=roles,
            step=step,
            date_form=date_form,
        )
        return cls(ds)

    # ------------------------------------------------------------------ reading

    @property
    def channels(self) -> list[str]:
        """Channel names."""
        return [str(c) for c in self.ds["channel"].values]

    @property
    def controls(self) -> list[str]:
        """Control names."""
        return [str(c) for c in self.ds["control"].values]

    @property
    def geos(self) -> list[str]:
        """Geo names; ``["national"]`` for national data."""
        return [str(g) for g in self.ds["geo"].values]

    @property
    def dates(self) -> pd.DatetimeIndex:
        """Dates, sorted."""
        return pd.DatetimeIndex(self.ds.indexes["date"])

    @property
    def num_geos(self) -> int:
        """Number of geos."""
        return int(self.ds.sizes["geo"])

    @property
    def num_dates(self) -> int:
        """Number of dates."""
        return int(self.ds.sizes["date"])

    n_geos = old_name("num_geos")
    n_dates = old_name("num_dates")

    @property
    def is_national(self) -> bool:
        """Whether the table has no geo column."""
        return self.roles.geo is None

    @property
    def has_population(self) -> bool:
        """Whether the table has populations."""
        return bool(self.ds.attrs["has_population"])

    @property
    def has_target(self) -> bool:
        """Whether all targets are known; False for a table of future dates."""
        return bool(self.ds["target"].notnull().all())

    @property
    def roles(self) -> Roles:
        """Column names by role."""
        return Roles.from_json(self.ds.attrs["roles"])

    @property
    def target_name(self) -> str:
        """Name of the target column."""
        return self.roles.target or "target"

    def columns(self) -> dict[str, np.ndarray]:
        """Return exposure of channels, controls and the target by name, each (geo, date)."""
        ds = self.ds
        found = {c: ds["exposure"].values[:, :, k] for k, c in enumerate(self.channels)}
        found |= {c: ds["controls"].values[:, :, k] for k, c in enumerate(self.controls)}
        return found | {self.target_name: ds["target"].values}

    @property
    def time_step(self) -> TimeStep:
        """The regular step between dates."""
        attrs = self.ds.attrs
        return TimeStep(
            attrs["time_step_unit"],
            int(attrs["time_step_n"]),
            attrs["time_step"],
            # Files of versions that took every date as the first of a median length.
            attrs.get("date_marks", "nominal"),
            attrs.get("date_marks_source", "assumed"),
        )

    @property
    def periods(self) -> pd.IntervalIndex:
        """The days that the rows of each date stand for, closed on the left.

        Events, seasons and lift tests use these days: a row dated at the end of December is
        December. See ``date_marks`` of `from_dataframe`.

        >>> data = MMMData.from_arrays(
        ...     dates=pd.DatetimeIndex(["2023-11-30", "2023-12-31"]),
        ...     target=np.ones((1, 2)),
        ...     spend=np.ones((1, 2, 1)),
        ...     channels=["tv"],
        ... )
        >>> print(data.periods[-1])
        [2023-12-01 00:00:00, 2024-01-01 00:00:00)
        """
        return self.time_step.intervals(self.dates)

    @named_arguments
    def future_dates(self, periods: int) -> pd.DatetimeIndex:
        """Return the ``periods`` dates after the last one."""
        last, step = self.dates[-1], self.time_step
        # In seconds: spans of centuries overflow nanoseconds.
        left = (pd.Timestamp.max.as_unit("s") - last.as_unit("s")).days
        if step.unit != "unknown" and periods > left / step.days - 1:
            end = f"{pd.Timestamp.max:%Y-%m-%d}, the last date there is"
            message = f"{periods:,} periods after {last:%Y-%m-%d} end after {end}."
            raise DataError([Finding("periods", "error", message, "Give fewer periods.")])
        return step.after(last, periods)

    def equals(self, other: MMMData) -> bool:
        """Return whether both hold the same values, labels and column names."""
        return bool(self.ds.identical(other.ds))

    # ------------------------------------------------------------------ derived data

    @named_arguments
    def subset(self, dates: slice | Sequence[Any]) -> MMMData:
        """Keep some dates: a slice of labels, e.g. ``slice("2021", "2022-06")``, or a list.

        A channel that is not on in these dates keeps the scale of its exposure in the other ones,
        which its prior then refers to. Dates may have any form that a table may have.

        Raises
        ------
        DataError
            If a date cannot be read, or is not in the table.
        ValueError
            If no date remains.
        """
        ds = self.ds.isel(date=np.unique(date_positions(self.dates, dates)))
        if ds.sizes["date"] == 0:
            raise ValueError(
                f"The data have no date in {dates!r}; they run from {self.dates[0]:%Y-%m-%d} to "
                f"{self.dates[-1]:%Y-%m-%d}."
            )
        return replace(self, ds=keep_reference(self.ds, ds))

    @named_arguments
    def with_spend(
        self,
        channel: str,
        *,
        scale: float | None = None,
        value: float | np.ndarray | None = None,
        dates: slice | Sequence[Any] | None = None,
    ) -> MMMData:
        """Return a copy with another spend over chosen dates; exposure moves in proportion.

        Parameters
        ----------
        channel : str
            Channel name.
        scale : float, optional
            Factor on spend and exposure (0 switches the channel off).
        value : float or array broadcastable to (geo, chosen dates), optional
            New spend in the currency of the table. Where there was no spend before, exposure is
            bought at the channel's mean price in that geo.
        dates : slice or list of dates, optional
            All dates by default.
        """
        rows = date_positions(self.dates, dates)
        ds = change_spend(self.ds, channel, rows, scale=scale, value=value)
        return replace(self, ds=ds)

    @named_arguments
    def with_table(self, df: pd.DataFrame) -> MMMData:
        """Read another table with the same columns, for prediction.

        The target may be missing (NaN). Checks that matter only for fitting (number of rows,
        collinearity, ...) are left out. Geos must be the same; populations given are reused.
        """
        loaded = load_future(df, self.roles, self.time_step, self.geos, self.dates)
        data = self._from_loaded(loaded)
        # Keep the order of geos of these data.
        return replace(data, ds=data.ds.sel(geo=self.ds["geo"].values))

    # ------------------------------------------------------------------ writing

    def to_frame(self) -> pd.DataFrame:
        """Return the wide table with its own column names, sorted by geo and date.

        `from_dataframe` with the same roles reproduces these data exactly.
        """
        return wide_table(self.ds, self.roles)

    def summary(self) -> pd.DataFrame:
        """Return one row per channel.

        Columns: ``spend`` (total), ``spend_share``, ``exposure`` (total), ``nonzero`` (rows with
        any exposure), ``correlation`` (of exposure and target, both less geo means), ``vif``
        (variance inflation factor of the exposure among channels), ``paid`` and ``date_marks``
        (``"start"`` or ``"end"``, followed by ``"(assumed)"`` if the dates allow both).
        """
        return summary.summary(self.ds, self.time_step)

    # ------------------------------------------------------------------ showing

    @shown_safely
    def __repr__(self) -> str:
        return summary.as_text(self.ds, self.time_step, self.findings)

    def _repr_html_(self) -> str:
        return summary.as_html(self.ds, self.time_step, self.findings)
