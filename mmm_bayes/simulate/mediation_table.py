r"""Simulated tables whose channels act through each other, with true effects by ``do()``.

There are two worlds. In ``"full"`` demand and the season drive media plans and sales (confounding);
TV and video drive search, TV drives awareness, and both lead to sales (mediation); visits follow
from TV and sales (a collider); search and awareness share a hidden cause. ``"example"`` is the
smallest graph with confounding and mediation: the season drives TV, digital and sales, and TV
drives search. Every medium has geometric carry-over and a Hill curve, implemented independently of
the model's own transforms.

=========  ========================================================================
full
=========  ========================================================================
tv         season, demand; flights
video      demand; flights
social     demand
search     tv, video, demand, hidden cause      (a channel that mediates)
awareness  tv, hidden cause                     (a control that mediates)
sales      tv, video, social, search, awareness, demand, price, season
visits     tv, sales
=========  ========================================================================

The truth is simulated with the same noise and the channel set to zero in all equations (total
effect), or only in the equation of sales (direct effect).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

import numpy as np
import pandas as pd

from mmm_bayes.data.dates import read_date
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.deprecation import named_arguments, renamed
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.runtime.streams import streams
from mmm_bayes.simulate.media_mix_parts import ar1
from mmm_bayes.simulate.response import ADSTOCKS, SATURATIONS
from mmm_bayes.simulate.setting_checks import (
    interval_findings,
    name_findings,
    share_findings,
    size_findings,
)

if TYPE_CHECKING:
    from mmm_bayes._typing import RngKey

NDArray = np.ndarray[Any, Any]
Edge = tuple[str, str]
WorldName = Literal["full", "example"]

TARGET = "sales"
_LAGS = 12


class _Plan(NamedTuple):
    """The spend of a channel: its level, its drivers, and whether it comes in flights."""

    level: float
    drivers: tuple[str, ...]
    flights: bool = False


class _Equation(NamedTuple):
    """The equation of a node: its level, the effects of its causes, and the size of its error.

    ``media`` holds the largest lift of each medium at strength one, ``linear`` holds coefficients,
    and ``push`` holds coefficients that are scaled by the strength of confounding. ``centred``
    causes are measured from a level.
    """

    level: float
    media: Mapping[str, float]
    linear: Mapping[str, float]
    error: float
    push: Mapping[str, float] = {}
    hidden: float = 0.0
    positive: bool = False
    centred: Mapping[str, float] = {}


class _WorldSpec(NamedTuple):
    plans: Mapping[str, _Plan]
    equations: Mapping[str, _Equation]
    controls: tuple[str, ...]
    roles: Mapping[str, str]
    bidirected: tuple[Edge, ...] = ()

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels, plans first."""
        more = (n for n, role in self.roles.items() if role == "channel" and n not in self.plans)
        return (*self.plans, *more)

    @property
    def media(self) -> tuple[Edge, ...]:
        """Edges with carry-over and saturation, those into sales first."""
        every = [(c, node) for node, own in self.equations.items() for c in own.media]
        return tuple(sorted(every, key=lambda edge: edge[1] != TARGET))

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All directed edges."""
        linear = [(d, c) for c, own in self.plans.items() for d in own.drivers]
        linear += [(c, n) for n, own in self.equations.items() for c in (*own.push, *own.linear)]
        return (*self.media, *linear)


_FULL = _WorldSpec(
    plans={
        "tv": _Plan(100.0, ("season", "demand"), flights=True),
        "video": _Plan(60.0, ("demand",), flights=True),
        "social": _Plan(40.0, ("demand",)),
    },
    equations={
        "search": _Equation(
            30.0, {"tv": 30.0, "video": 30.0}, {}, 4.0, {"demand": 6.0}, 3.0, positive=True
        ),
        "awareness": _Equation(40.0, {"tv": 12.0}, {}, 1.5, hidden=1.5),
        "sales": _Equation(
            500.0, dict.fromkeys(("tv", "video", "social", "search"), 90.0),
            {"awareness": 4.0, "demand": 45.0, "season": 40.0, "price": -25.0}, 800.0,
            centred={"awareness": 40.0},
        ),
        "visits": _Equation(0.0, {}, {"sales": 0.5, "tv": 0.4}, 15.0),
    },
    controls=("demand", "price", "awareness", "visits"),
    roles=dict.fromkeys(("tv", "video", "social", "search"), "channel")
    | {
        "demand": "control", "price": "control", "awareness": "mediator", "visits": "control",
        "season": "seasonality", TARGET: "target",
    },
    bidirected=(("search", "awareness"),),
)  # fmt: skip
_EXAMPLE = _WorldSpec(
    plans={
        "tv": _Plan(100.0, ("season",), flights=True),
        "digital": _Plan(60.0, ("season",)),
        "email": _Plan(10.0, ()),
    },
    equations={
        "search": _Equation(20.0, {"tv": 60.0}, {}, 4.0, positive=True),
        "sales": _Equation(
            500.0, dict.fromkeys(("tv", "digital", "email", "search"), 100.0), {"season": 80.0},
            800.0,
        ),
    },
    controls=(),
    roles=dict.fromkeys(("tv", "digital", "email", "search"), "channel")
    | {"season": "seasonality", TARGET: "target"},
)  # fmt: skip
_WORLDS = {"full": _FULL, "example": _EXAMPLE}


@final
@dataclass(frozen=True, eq=False)
class SimulatedMediation:
    """A simulated table with its graph and its true effects.

    Attributes
    ----------
    data : MMMData
        Weekly national data with the target sales.
    edges, bidirected : tuple of pairs
        The graph. The node ``"season"`` has no column: it represents the time of the year.
    roles : dict
        Role of every node in a media-mix model.
    effects : pandas.DataFrame
        One row per channel: ``total``, ``direct`` and ``indirect`` contribution to the sum of
        sales, compared with no spend, and ``spend``.
    """

    data: MMMData
    edges: tuple[Edge, ...]
    bidirected: tuple[Edge, ...]
    roles: dict[str, str]
    effects: pd.DataFrame
    _world: _World = field(repr=False)

    @named_arguments
    def sales_without(
        self, channel: str, start: str | None = None, end: str | None = None
    ) -> NDArray:
        """Return sales (date,) with a channel off: at all dates, or from one date to another.

        Raises
        ------
        ValueError
            If there is no such channel.
        """
        if channel not in self.data.channels:
            raise ValueError(f"channel should be one of {', '.join(self.data.channels)}.")
        dates = self.data.dates
        rows = np.ones(len(dates), bool)
        if start is not None:
            rows &= np.asarray(dates >= read_date(start, "start"))
        if end is not None:
            rows &= np.asarray(dates <= read_date(end, "end"))
        return self._world.run(off=channel, rows=rows)[TARGET]


@renamed(weeks="num_weeks")
def mediation(
    rng_key: RngKey,
    *,
    world: WorldName = "full",
    num_weeks: int = 156,
    confounding: float = 1.0,
    noise: float = 0.05,
    start: str = "2022-01-03",
) -> SimulatedMediation:
    """Simulate a weekly national table with confounding, mediation and a collider.

    Parameters
    ----------
    rng_key
        Random key; it determines curves, effects and noise.
    world : {"full", "example"}
        The graph.
    num_weeks : int
        Number of weeks, 52 or more.
    confounding : float
        Strength of demand and season as drivers of media: at 1 they make up about half of the
        variance of spend.
    noise : float
        Standard deviation of the noise of sales, as a share of mean sales.
    start : str
        First Monday.

    Raises
    ------
    ValueError
        If there are fewer than 52 weeks, a number is negative, or the world is unknown.
    """
    findings = [
        *name_findings({"world": (world, tuple(_WORLDS))}),
        *size_findings({"num_weeks": (num_weeks, 52)}),
        *share_findings({"confounding": confounding}),
        *interval_findings({"noise": (noise, "(0, inf)")}),
    ]
    if findings:
        raise DataError(findings, "the settings of simulate.mediation")
    spec = _WORLDS[world]
    draws = _World(spec, rng_key, num_weeks, confounding, noise)
    observed = draws.run()
    off = {channel: draws.run(off=channel) for channel in spec.channels}
    own = {channel: draws.run(off=channel, direct=True) for channel in spec.channels}
    rows = []
    for channel in spec.channels:
        total = float((observed[TARGET] - off[channel][TARGET]).sum())
        direct = float((observed[TARGET] - own[channel][TARGET]).sum())
        spend = float(observed[channel].sum())
        rows.append((channel, total, direct, total - direct, spend))
    names = ["channel", "total", "direct", "indirect", "spend"]
    effects = pd.DataFrame(rows, columns=names).set_index("channel")
    columns = (*spec.channels, *spec.controls, TARGET)
    frame = pd.DataFrame({name: observed[name] for name in columns})
    frame.insert(0, "week", pd.date_range(start, periods=num_weeks, freq="W-MON"))
    data = MMMData.from_dataframe(
        frame,
        date="week",
        target=TARGET,
        channels=list(spec.channels),
        controls=list(spec.controls),
    )
    return SimulatedMediation(data, spec.edges, spec.bidirected, dict(spec.roles), effects, draws)


class _World:
    """All draws of one table; :meth:`run` computes its columns, observed or under ``do()``."""

    def __init__(
        self, spec: _WorldSpec, rng_key: Any, weeks: int, confounding: float, noise: float
    ) -> None:
        rng = streams(rng_key, ("curves", "effects", "drivers", "noise"))
        time = np.arange(weeks)
        phase = rng["drivers"].uniform(0.0, 2 * np.pi)
        demand = ar1(rng["drivers"], 0.8, (weeks,))
        self.drivers = {
            "season": np.sin(2 * np.pi * time / (365.25 / 7) + phase),
            "demand": demand / demand.std(),
            "price": ar1(rng["drivers"], 0.6, (weeks,)),
        }
        self.hidden = ar1(rng["drivers"], 0.5, (weeks,))
        nodes = (*spec.plans, *spec.equations)
        self.errors = {name: rng["noise"].standard_normal(weeks) for name in nodes}
        self.on = {
            name: rng["noise"].random(weeks) < 0.75
            for name, plan in spec.plans.items()
            if plan.flights
        }
        curves, effects = rng["curves"], rng["effects"]
        alpha = ADSTOCKS["geometric"].draws["alpha"](curves, len(spec.media))
        draws = SATURATIONS["hill"].draws
        ec, slope = (draws[name](curves, len(spec.media)) for name in ("ec", "slope"))
        self.curves = {edge: (alpha[k], ec[k], slope[k]) for k, edge in enumerate(spec.media)}
        self.strength = {edge: float(effects.uniform(0.5, 1.5)) for edge in spec.media}
        self.spec, self.push, self.noise = spec, 0.45 * confounding, noise
        self.scale: dict[str, float] = {}

    def _medium(self, edge: Edge, exposure: NDArray) -> NDArray:
        """Return an exposure after carry-over and saturation, in (0, 1)."""
        alpha, ec, slope = self.curves[edge]
        weights = ADSTOCKS["geometric"].function(np.arange(_LAGS), alpha)
        carried = np.convolve(exposure, weights / weights.sum())[: len(exposure)]
        # Set by the observed series, which runs first: interventions must not change the curve.
        if edge[0] not in self.scale:
            self.scale[edge[0]] = float(exposure[exposure > 0].mean())
        found: NDArray = SATURATIONS["hill"].function(carried / self.scale[edge[0]], ec, slope)
        return found

    def run(
        self, off: str | None = None, *, direct: bool = False, rows: NDArray | None = None
    ) -> dict[str, NDArray]:
        """Return the columns of the table, optionally with a channel off.

        It is off in all equations or, if ``direct``, only in the equation of sales; in ``rows``, by
        default all.
        """
        values = dict(self.drivers)
        for name, plan in self.spec.plans.items():
            moved = sum(self.drivers[driver] for driver in plan.drivers)
            values[name] = plan.level * np.exp(self.push * moved + 0.45 * self.errors[name])
            values[name] = values[name] * self.on.get(name, True)
        for name, equation in self.spec.equations.items():
            size = self.noise if name == TARGET else 1.0
            found = equation.level + size * equation.error * self.errors[name]
            found += equation.hidden * self.hidden
            for source, largest in equation.media.items():
                felt = self._medium((source, name), values[source])
                if source == off and (name == TARGET or not direct):
                    left = np.zeros_like(felt) if rows is None else values[source] * ~rows
                    felt = self._medium((source, name), left)
                found += largest * self.strength[source, name] * felt
            for source, factor in equation.push.items():
                found += factor * self.push * values[source]
            for source, factor in equation.linear.items():
                found += factor * (values[source] - equation.centred.get(source, 0.0))
            values[name] = np.maximum(found, 0.0) if equation.positive else found
        return values
