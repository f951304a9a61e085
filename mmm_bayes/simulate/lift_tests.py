"""A lift test run in a simulated world: spend is changed in some geos and weeks, and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import jax
import numpy as np
import xarray as xr

from mmm_bayes.data.dates import read_dates
from mmm_bayes.data.lift_exposure import tested_days
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import DataError, Finding, listing
from mmm_bayes.runtime.streams import generator
from mmm_bayes.simulate.media_mix import SimulatedMMM
from mmm_bayes.simulate.response import apply_adstock, apply_saturation

NDArray = np.ndarray[Any, Any]


@final
@dataclass(frozen=True)
class SimulatedLift:
    """A simulated world in which a lift test was run.

    Attributes
    ----------
    data
        The table with the changed spend and its effect, so the test is recorded in it.
    truth
        The truth of :class:`SimulatedMMM` under the changed spend: contributions, ``mu``,
        ``roas`` and ``marginal_roas``.
    test
        The test as measured, with error.
    true_lift
        Expected lift.
    """

    data: MMMData
    truth: xr.Dataset
    test: LiftTest
    true_lift: float


@named_arguments
def lift_test(
    rng_key: jax.Array,
    simulated: SimulatedMMM,
    channel: str,
    *,
    start: Any,
    end: Any,
    geos: Sequence[str] = (),
    factor: float = 2.0,
    measured_until: Any = None,
    relative_error: float = 0.1,
) -> SimulatedLift:
    r"""Change a channel's spend in a simulated world, and measure the effect.

    Spend is multiplied by ``factor`` over the test's dates and geos. The expected target changes
    by the true model, including carry-over; the measured lift is drawn from :math:`N(\mathrm{true},
    (\mathrm{relative\ error} \cdot |\mathrm{true}|)^2)`.

    Parameters
    ----------
    rng_key
        Key of the measurement error.
    simulated
        World of :func:`simulate.mmm` with ``likelihood="normal"``.
    channel, start, end, geos, measured_until
        As in :class:`LiftTest`.
    factor
        Factor on the spend during the test; 0 turns the channel off.
    relative_error
        Standard error of the measured lift over its size.

    Raises
    ------
    DataError
        If the world is not additive, the channel is unknown, or the test changes nothing.
    """
    data, truth = simulated.data, simulated.truth
    _check(simulated, channel, factor)
    at = data.channels.index(channel)
    given = [start, end] + ([] if measured_until is None else [measured_until])
    start, end, *rest = read_dates(given, "start and end")
    until = rest[0] if rest else end
    own = np.isin(data.geos, list(geos)) if len(geos) else np.ones(data.num_geos, bool)
    tested = tested_days(data.dates, data.time_step, start, end, until)
    rows, seen = (own[:, None] * days for days in tested)
    spend, exposure = data.ds["spend"].values.copy(), data.ds["exposure"].values.copy()
    before = spend[..., at].copy()
    changed = before + rows * (factor * before - before)
    spend[..., at] = np.where(rows > 0, np.round(changed, 2), before)
    paid = spend[..., at] / np.where(before > 0, before, 1.0)
    exposure[..., at] = np.where(before > 0, paid, 1.0) * exposure[..., at]
    change = float((spend[..., at] - before).sum())
    if change == 0:
        message = f"{channel} has no spend in any row of the test."
        raise DataError([Finding("rows", "error", message, "Check dates and geos.")], "the test")
    contribution = _contribution(data, truth, exposure)
    change_of_target = (contribution - truth["contribution"].values).sum(-1)
    lift = float((change_of_target * seen).sum())
    error = relative_error * abs(lift)
    measured = lift + error * generator(rng_key).standard_normal()
    ds = data.ds.assign(
        spend=(data.ds["spend"].dims, spend),
        exposure=(data.ds["exposure"].dims, exposure),
        target=data.ds["target"] + change_of_target,
    )
    more = _contribution(data, truth, 1.01 * exposure) - contribution
    total = spend.sum((0, 1))
    under = truth.assign(
        contribution=(truth["contribution"].dims, contribution),
        mu=truth["mu"] + change_of_target,
        roas=("channel", contribution.sum((0, 1)) / total),
        marginal_roas=("channel", more.sum((0, 1)) / (0.01 * total)),
    )
    test = LiftTest(
        channel, start, end, measured, error, geos=tuple(geos), spend_change=change,
        measured_until=None if measured_until is None else until,
    )  # fmt: skip
    return SimulatedLift(MMMData(ds), under, test, lift)


def _contribution(data: MMMData, truth: xr.Dataset, exposure: NDArray) -> NDArray:
    """Return the true contribution (geo, date, channel) of an exposure."""
    heads = data.ds["population"].values[:, None, None]
    drawn = {str(name): own.values for name, own in truth.data_vars.items()}
    scaled = exposure / heads / drawn["media_scale"]
    carried = apply_adstock(truth.attrs["adstock"], scaled, drawn, truth.attrs["max_lag"])
    saturated = apply_saturation(truth.attrs["saturation"], carried, drawn)
    return heads * drawn["beta_geo"][:, None, :] * saturated


def _check(simulated: SimulatedMMM, channel: str, factor: float) -> None:
    findings = []
    if simulated.truth.attrs["likelihood"] != "normal":
        findings.append(
            Finding("likelihood", "error", "The world is not additive.",
                    'Simulate it with likelihood="normal".')
        )  # fmt: skip
    if channel not in simulated.data.channels:
        known = listing(simulated.data.channels, 12)
        message = f"There is no channel {channel!r}."
        findings.append(Finding("channel", "error", message, f"There are {known}."))
    if not factor >= 0 or factor == 1:
        message = f"factor should be 0 or more, and not 1, but is {factor}."
        findings.append(Finding("factor", "error", message, "2 doubles the spend, 0 stops it."))
    if findings:
        raise DataError(findings, "the simulated test")
