r"""Causal data augmentation of a media-mix model: rows that follow a graph, and their weights.

A graph over channels, controls and the target factorises their joint distribution, and augmented
rows are drawn from that factorisation (Teshima and Sugiyama 2021; Poinsot and Leite 2023), which
removes dependencies that the graph does not have. The model is then fitted to observed and
augmented rows together, each with a likelihood weight,

.. math:: \log L = \sum_i p_i \log f(y_i \mid \mathrm{row}_i),

and all results are computed from observed rows.

**Assumption.** Rows of a time series are not exchangeable. They are assumed to be exchangeable
given the calendar (trend, seasonality and events, copied together as one variable, ``season``) and
the variables of the graph. The calendar causes every variable unless the graph says otherwise.

**Likelihood weights.** The mixture divides the likelihood between observed and augmented rows such
that neither an outcome nor a direction of the coefficients counts for more than was observed
(:mod:`mmm_bayes.augmentation.likelihood_weights`).
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import jax
import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.augmentation.causal_da import CausalDA
from mmm_bayes.augmentation.likelihood_weights import (
    TOLERANCE,
    information_ratio,
    largest_mixture,
    likelihood_weights,
)
from mmm_bayes.augmentation.model_features import (
    by_column,
    check_augmentation,
    feature_frames,
    needs_donors,
)
from mmm_bayes.augmentation.model_outcomes import (
    MODEL,
    check_model_outcomes,
    draw_outcomes,
    with_exclusions,
)
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model.arrays import AddedRows
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.model.structure import ModelArrays, Structure
from mmm_bayes.runtime.deprecation import old_name, warn_deprecated
from mmm_bayes.runtime.findings import DataError, Finding, listing
from mmm_bayes.runtime.report import Report

if TYPE_CHECKING:
    from mmm_bayes.augmentation.table import AugmentedData

__all__ = ["CausalDA", "MMMAugmentation", "augment_mmm"]

NDArray = np.ndarray[Any, Any]

_EXCHANGEABLE = (
    "Rows are exchangeable over time given {season} (trend, seasonality, events) and the variables "
    "above; without {season} weekly rows are not."
)


@final
@dataclass(frozen=True, eq=False, repr=False)
class MMMAugmentation(Report):
    """Augmented rows of a model's table: ``M`` rows per geo, padded with rows of weight zero.

    Attributes
    ----------
    settings
        The settings, with the calendar as a node of the graph.
    season_added
        Whether the calendar was added to the graph.
    target
        Name of the target's node.
    donors
        Position in time of the row that each variable was copied from (geo, row, node); -1 if the
        value is not a copy.
    values
        Target and controls (geo, row, variable) in scaled units.
    weights
        Weights of the augmentation (geo, row).
    information
        Largest ratio, over directions of the coefficients, of the information in augmented rows to
        that in observed rows; rho in :mod:`mmm_bayes.augmentation.likelihood_weights`.
    mixture
        Share of the likelihood given to augmented rows.
    likelihood_weight
        Likelihood weights (geo, date + row), observed rows first.
    mass, ess
        Total weight and Kish's effective number of the augmented rows of each geo (geo,).
    """

    settings: CausalDA
    season_added: bool
    target: str
    donors: xr.DataArray
    values: xr.DataArray
    weights: xr.DataArray
    information: float
    mixture: float
    likelihood_weight: NDArray
    mass: xr.DataArray
    ess: xr.DataArray

    @property
    def num_dates(self) -> int:
        """Number of observed rows per geo."""
        return self.likelihood_weight.shape[1] - self.weights.sizes["row"]

    n_dates = old_name("num_dates")

    @property
    def effective_rows(self) -> float:
        """Effective number of rows in the likelihood: the sum of all likelihood weights."""
        return float(self.likelihood_weight.sum())

    @property
    def power(self) -> NDArray:
        """Deprecated name of :attr:`likelihood_weight`."""
        warn_deprecated("MMMAugmentation.power", "MMMAugmentation.likelihood_weight")
        return self.likelihood_weight

    @property
    def total_power(self) -> float:
        """Deprecated name of :attr:`effective_rows`."""
        warn_deprecated("MMMAugmentation.total_power", "MMMAugmentation.effective_rows")
        return self.effective_rows

    def added_rows(self, structure: Structure) -> AddedRows:
        """Build the rows to append to the arrays of the model."""
        positions = self.donors.transpose("node", "geo", "row")
        controls = self.values.sel(variable=list(structure.controls))
        return AddedRows(
            media=positions.sel(node=list(structure.channels)).values,
            calendar=positions.sel(node=self.settings.season).values,
            controls=controls.transpose("geo", "row", "variable").values,
            target=self.values.sel(variable=self.target).values,
        )

    def with_outcomes(self, outcomes: NDArray) -> MMMAugmentation:
        """Replace the outcomes by new scaled values (geo, row), which are not copies."""
        donors, values = self.donors.copy(), self.values.copy()
        donors.loc[{"node": self.target}] = -1
        values.loc[{"variable": self.target}] = outcomes
        places = np.full(self.weights.shape, -1)
        weight = likelihood_weights(self.weights.values, places, self.num_dates, self.mixture)
        return replace(self, donors=donors, values=values, likelihood_weight=weight)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning where intervals may be too narrow."""
        if self.settings.mixture is None or self.mixture * (self.information - 1.0) <= TOLERANCE:
            return ()
        text = f"Augmented rows have {self._share()} of the likelihood."
        return (Finding("mixture", "warning", text, "Leave mixture at its default.", "mixture"),)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per geo: rows added, their effective number, and the mass kept."""
        columns = {
            "rows": (self.weights > 0).sum("row").values,
            "effective_rows": self.ess.values,
            "mass": self.mass.values,
            "observed_rows": self.num_dates,
        }
        return pd.DataFrame(columns, index=pd.Index(self.weights["geo"].values, name="geo"))

    def __str__(self) -> str:
        settings, geos = self.settings, self.weights.sizes["geo"]
        order = settings.graph.topological_factorization(settings.order)
        observed = geos * self.num_dates
        pillow = settings.graph.markov_pillow(self.target, settings.order)
        known = (self.target, settings.season, *pillow)
        outside = [name for name in settings.graph.nodes if name not in known]
        lines = [
            f"Causal data augmentation: {int((self.weights > 0).sum())} rows for {observed} "
            f"observed ones, method {settings.method!r}.",
            "Factorisation:",
            *(f"  {name} given {listing(pillow, 99) or 'nothing'}" for name, pillow in order),
            "Assumptions:",
            "  Each variable depends on earlier ones only through its variables above.",
            "  " + _EXCHANGEABLE.format(season=repr(settings.season)),
        ]
        if settings.exclusions and outside:
            lines.append(f"  No effect on {self.target!r}: {listing(outside, 99)}.")
        if self.season_added:
            lines.append(
                f"  {settings.season!r} was not in the graph and was added as a cause of every "
                "variable."
            )
        lines += [
            "  A week of a channel represents its carry-over from earlier weeks too; weeks are "
            "matched on adstocked exposure at the prior median.",
            f"Likelihood: {self._share()} on augmented rows; its effective number of rows is "
            f"{self.effective_rows:.1f} for {observed} observed rows (Kish, by observed outcome).",
            f"Probability kept: {float(self.mass.min()):.3g} to {float(self.mass.max()):.3g} per "
            f"geo; effective augmented rows {float(self.ess.min()):.1f} to "
            f"{float(self.ess.max()):.1f}.",
        ]
        return "\n".join(lines)

    def _share(self) -> str:
        """Describe the share of augmented rows and the reason for it."""
        narrow = (1.0 - (1.0 + self.mixture * (self.information - 1.0)) ** -0.5) * 100.0
        share = f"{100.0 * self.mixture:.2g}%"
        if self.settings.mixture is None:
            ratio = f"{self.information:.3g} times the information of observed rows"
            return f"{share} (in full they would claim {ratio} on one direction)"
        if self.mixture * (self.information - 1.0) <= TOLERANCE:
            return share
        return f"{share} (as set; intervals may be up to {narrow:.0f}% too narrow)"

    def to_json(self) -> str:
        """Serialise settings, graph and summary numbers, to be saved with a fit."""
        record = {
            "settings": self.settings.to_dict(),
            "season_added": self.season_added,
            "rows": int((self.weights > 0).sum()),
            "observed_rows": int(self.weights.sizes["geo"] * self.num_dates),
            "mass": self.mass.values.tolist(),
            "ess": self.ess.values.tolist(),
            "mixture": self.mixture,
            "information": self.information,
            "effective_rows": self.effective_rows,
            "summary": str(self),
        }
        return json.dumps(record, default=float)  # NumPy numbers among the settings


def augment_mmm(
    rng_key: jax.Array,
    settings: CausalDA,
    structure: Structure,
    arrays: ModelArrays,
    data: MMMData,
) -> MMMAugmentation:
    """Draw augmented rows for the training arrays of a model, geo by geo.

    Parameters
    ----------
    rng_key
        Random key.
    settings
        Settings of the augmentation.
    structure, arrays, data
        The model, its training arrays and its table.

    Returns
    -------
    MMMAugmentation

    Raises
    ------
    DataError
        Listing every conflict between graph, settings, model and table.
    """
    target = data.roles.target or "target"
    complete, pillow = _checked(settings, structure, data, target)
    key_rows, key_outcomes = jax.random.split(rng_key)
    frames = feature_frames(structure, arrays, complete.season, target)
    calendar = tuple(name for name in frames[0].columns if name not in complete.graph.nodes)
    parts = _draw_rows(key_rows, complete, frames, calendar, data.geos, target)
    copied = needs_donors(complete, structure, data, target)
    values = [_values(part, frame, copied) for part, frame in zip(parts, frames, strict=True)]
    within = pillow if complete.exclusions else (*structure.channels, *structure.controls)
    columns = [*calendar, *(name for name in frames[0].columns if name in within)]
    ratio = information_ratio(
        [frame[columns].to_numpy(float) for frame in frames],
        [
            _design(part, frame, own, columns, calendar)
            for part, frame, own in zip(parts, frames, values, strict=True)
        ],
        [part.weights for part in parts],
    )
    added = settings.season not in settings.graph.nodes
    joined = _joined(complete, added, [target, *structure.controls], data, parts, values, ratio)
    if complete.estimator_of(target, target) != MODEL:
        return joined
    rows = joined.added_rows(structure)
    drawn = draw_outcomes(key_outcomes, structure, data, pillow, rows)
    return joined.with_outcomes(drawn)


def _checked(
    settings: CausalDA, structure: Structure, data: MMMData, target: str
) -> tuple[CausalDA, tuple[str, ...]]:
    """Check settings, model and table; return the completed settings and the target's pillow."""
    findings = check_augmentation(settings, structure, data, target)
    if findings:
        raise DataError(findings, "the augmentation of this model")
    complete, pillow = _pillow_of_target(settings, target)
    if complete.estimator_of(target, target) == MODEL:
        order = complete.order or complete.graph.topological_order()
        findings = check_model_outcomes(pillow, tuple(order), structure.channels, target)
        if findings:
            raise DataError(findings, "the augmentation of this model")
    return complete, pillow


def _draw_rows(
    rng_key: jax.Array,
    settings: CausalDA,
    frames: Sequence[pd.DataFrame],
    calendar: Sequence[str],
    geos: Sequence[str],
    target: str,
) -> list[AugmentedData]:
    """Augment the table of each geo; outcomes of the model are drawn later, over all geos.

    Raises
    ------
    DataError
        If a geo has no augmented rows.
    """
    from mmm_bayes.augmentation.augment import augment

    names = {name: settings.estimator_of(name, target) for name in settings.graph.nodes}
    if names[target] == MODEL:
        names[target] = "kernel"
    enumerates = settings.method == "enumerate"
    parts = []
    for key, frame in zip(jax.random.split(rng_key, len(frames)), frames, strict=True):
        parts.append(
            augment(
                key,
                frame,
                settings.graph,
                method=settings.method,
                estimator=names if settings.method == "sample" else None,
                bandwidth=by_column(settings.bandwidth, settings.season, calendar),
                bandwidth_scale=settings.bandwidth_scale,
                smoothing=settings.smoothing or None,
                num_rows=settings.num_rows or (None if enumerates else 2 * len(frame)),
                order=settings.order,
                blocks={settings.season: calendar},
            )
        )
    empty = [geo for geo, part in zip(geos, parts, strict=True) if not part.mass > 0]
    if empty:
        message = f"The augmentation has no rows for {listing(empty)}."
        remedy = "Use method='sample', or a larger bandwidth_scale."
        raise DataError([Finding("empty", "error", message, remedy)], "the augmentation")
    return parts


def excluding(settings: CausalDA, structure: Structure, data: MMMData) -> ModelSpec:
    """Return a model's specification without the effects that the graph denies.

    Raises
    ------
    DataError
        As :func:`augment_mmm`.
    """
    target = data.roles.target or "target"
    if findings := check_augmentation(settings, structure, data, target):
        raise DataError(findings, "the augmentation of this model")
    return with_exclusions(structure.spec, data, _pillow_of_target(settings, target)[1])


def _pillow_of_target(settings: CausalDA, target: str) -> tuple[CausalDA, tuple[str, ...]]:
    """Complete the settings, and find the target's Markov pillow."""
    complete = _ending_with(target, settings.completed())
    order = complete.order or complete.graph.topological_order()
    return complete, complete.graph.markov_pillow(target, order)


def _ending_with(target: str, settings: CausalDA) -> CausalDA:
    """Draw the target last if the graph leaves its position in the order free."""
    if settings.order is not None or settings.graph.children(target):
        return settings
    order = [name for name in settings.graph.topological_order() if name != target]
    return replace(settings, order=(*order, target))


def _values(part: AugmentedData, frame: pd.DataFrame, copied: Container[str]) -> pd.DataFrame:
    """Return drawn values; variables that must copy get those of the donors, without jitter."""
    position = {name: k for k, name in enumerate(part.nodes)}
    own = [name for name in frame.columns if name in copied and name in position]
    return part.frame.assign(
        **{name: frame[name].to_numpy()[part.row_index[:, position[name]]] for name in own}
    )


def _design(
    part: AugmentedData,
    frame: pd.DataFrame,
    values: pd.DataFrame,
    columns: Sequence[str],
    block: Sequence[str],
) -> NDArray:
    """Build the design (row, column) of augmented rows, with the calendar of their week."""
    season = [k for k, name in enumerate(part.nodes) if name not in frame.columns]
    weeks = part.row_index[:, season[0]]
    drawn = values.assign(**{name: frame[name].to_numpy()[weeks] for name in block})
    return drawn[list(columns)].to_numpy(float)


def _joined(
    settings: CausalDA,
    season_added: bool,
    variables: Sequence[str],
    data: MMMData,
    parts: Sequence[AugmentedData],
    frames: Sequence[pd.DataFrame],
    ratio: float,
) -> MMMAugmentation:
    """Stack the geos, padding shorter ones with rows of weight zero."""
    nodes, most, n = list(parts[0].nodes), max(len(part) for part in parts), data.num_dates
    target = variables[0]
    donors = np.zeros((len(parts), most, len(nodes)), np.int32)
    values = np.zeros((len(parts), most, len(variables)))
    weights = np.zeros((len(parts), most))
    for g, (part, frame) in enumerate(zip(parts, frames, strict=True)):
        donors[g, : len(part)] = part.row_index
        values[g, : len(part)] = frame[list(variables)].to_numpy(float)
        weights[g, : len(part)] = part.weights
    outcomes = donors[:, :, nodes.index(target)]
    mixture = largest_mixture(ratio) if settings.mixture is None else settings.mixture
    geo = {"geo": data.geos}
    dims = ("geo", "row")
    return MMMAugmentation(
        settings=settings,
        season_added=season_added,
        target=target,
        donors=xr.DataArray(donors, geo | {"node": nodes}, (*dims, "node")),
        values=xr.DataArray(values, geo | {"variable": list(variables)}, (*dims, "variable")),
        weights=xr.DataArray(weights, geo, dims),
        information=ratio,
        mixture=mixture,
        likelihood_weight=likelihood_weights(weights, outcomes, n, mixture),
        mass=xr.DataArray([part.mass for part in parts], geo, ("geo",)),
        ess=xr.DataArray([part.ess for part in parts], geo, ("geo",)),
    )
