"""A simulated panel of shops on an online platform: a marketing funnel, spend and sales events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mmm_bayes.data.dates import parse_dates
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.deprecation import renamed
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.runtime.streams import streams
from mmm_bayes.simulate.setting_checks import size_findings

NDArray = np.ndarray[Any, Any]

_BRAND = (*(f"x-brand-{i}" for i in range(4)), "x-interact", "x-feed")
_EFFECT = ("x-live", *(f"x-search-{i}" for i in range(3)), "x-effect")
AIR_NODES = (*_BRAND, *_EFFECT, "pv", "gmv")
AIR_GROUPS = (*["brand"] * len(_BRAND), *["effect"] * len(_EFFECT), "views", "target")
AIR_CONTEXT = ("week", "promotion", "economy", "competition", "shop_type")

_B, _E = slice(0, len(_BRAND)), slice(len(_BRAND), len(_BRAND) + len(_EFFECT))
_PV, _GMV = len(AIR_NODES) - 2, len(AIR_NODES) - 1
# Advertising in flights has 30 to 70% zeros; advertising that is bought every day has 2%.
_IN_FLIGHTS = np.array([name.startswith(("x-brand", "x-interact", "x-live")) for name in AIR_NODES])
_FLIGHT = 14.0
_BURN_IN = 60
_SLOPE = 1.5
# Sales of the year (month, day) and how many days they build up.
_EVENTS = ((3, 8, 3), (5, 20, 2), (6, 18, 17), (9, 9, 2), (11, 11, 10), (12, 12, 2))


class _Funnel(NamedTuple):
    """Quantities shared by all shops: graphs (type, source, target), effects and carry-over."""

    graphs: NDArray
    effects: NDArray
    carryover: NDArray
    off: NDArray
    unit: NDArray
    tilt: NDArray


class _Shop(NamedTuple):
    """Quantities drawn for one shop; times include the burn-in."""

    kind: int
    promotion: NDArray
    competition: NDArray
    own: NDArray
    scale: NDArray


class _World(NamedTuple):
    """A panel before it is run: the shared funnel and the exogenous factors."""

    dates: pd.DatetimeIndex
    funnel: _Funnel
    kind: NDArray
    context: NDArray
    own: NDArray
    scale: NDArray


@renamed(shops="num_shops", length="num_dates", structures="num_structures")
def air_shops(
    rng_key: Any,
    *,
    num_shops: int = 50,
    num_dates: int = 676,
    start: str = "2021-01-30",
    num_structures: int = 4,
) -> ShopPanel:
    r"""Simulate shops of an online platform: brand advertising, views, effect advertising, sales.

    The panel mimics the data that CausalMMM (Gong et al. 2024, A.2.2) is applied to, which are not
    public: nodes, groups and the numbers of shops and days follow the paper, all mechanisms are
    invented. With carry-over :math:`m_{i,t} = \theta_i m_{i,t-1} + (1 - \theta_i) x_{i,t-1}` and
    saturation :math:`h(m) = m^{1.5} / (m^{1.5} + \gamma^{1.5})`, every node that has causes is

    .. math:: x_{j,t} = o_{j,t} \, s_{j,t} \, e^{z_{j,t}} \Big(0.3 + \sum_{i \to j} w_{ij}
              h(m_{i,t})\Big),

    with an on-off process o, a factor s of week, promotion and economy, and independent noise z
    (AR(1) for advertising); :math:`\gamma` is 1 for brand advertising and 2.5 for what follows it,
    times :math:`e^{0.3 c_t}` for effects on sales with competition c. Brand advertising has no
    causes. Graphs follow the funnel: brand to views, views to effect advertising, effect
    advertising and views to sales, and sometimes brand advertising to effect advertising or sales;
    every type of shop has its own graph. Each series is then scaled by the size of the shop and by
    node (log-normal, standard deviations 1.2 and 1).

    Parameters
    ----------
    rng_key : jax.Array
        Key; the same key gives the same panel. Each shop has its own random stream, so an
        additional shop does not change the others.
    num_shops, num_dates : int
        Number of shops and of days.
    start : str
        First day.
    num_structures : int
        Number of types of shops, each with its own graph; all types are equally likely.

    Returns
    -------
    ShopPanel
        Nodes `AIR_NODES`, target ``gmv``, values of 0 or more. Context `AIR_CONTEXT`: the effect
        of the weekday, the shop's part in promotions (0 to 1), an economy index all shops share,
        competition, and the type of the shop, constant in time. With ``adjacency`` and
        ``structure``; edges act from the next day on.

    Raises
    ------
    DataError
        Listing every setting that is out of range.
    TypeError
        If ``rng_key`` is no JAX key.

    Examples
    --------
    >>> import jax
    >>> from mmm_bayes import simulate
    >>> panel = simulate.air_shops(jax.random.key(0), num_shops=3, num_dates=30)
    >>> panel.series.shape, panel.target, bool(panel.series.min() >= 0)
    ((3, 30, 13), 'gmv', True)
    """
    world = _draw_world(rng_key, num_shops, num_dates, start, num_structures)
    levels = _run(world.funnel, world.kind, world.context, world.own)
    return ShopPanel(
        series=(levels * world.scale)[:, _BURN_IN:],
        nodes=AIR_NODES,
        shops=tuple(f"shop{i}" for i in range(num_shops)),
        context=world.context[:, _BURN_IN:],
        context_names=AIR_CONTEXT,
        dates=world.dates[_BURN_IN:],
        groups=AIR_GROUPS,
        adjacency=world.funnel.graphs[world.kind],
        structure=world.kind,
    )


@renamed(shops="num_shops", length="num_dates", structures="num_structures")
def air_contributions(
    rng_key: Any,
    *,
    num_shops: int = 50,
    num_dates: int = 676,
    start: str = "2021-01-30",
    num_structures: int = 4,
) -> NDArray:
    r"""Compute each node's true contribution to sales in each shop of :func:`simulate.air_shops`.

    These are the sales of all days less the sales under :math:`do(x_i = 0)` on all days, with the
    same noise, promotions and competition. Effects through other nodes are included. Advertising
    before the panel has its effect in both.

    Parameters
    ----------
    rng_key, num_shops, num_dates, start, num_structures
        As for the panel.

    Returns
    -------
    numpy.ndarray
        Contributions (shop, node) in units of sales, for all nodes but the last.

    Examples
    --------
    >>> import jax
    >>> from mmm_bayes import simulate
    >>> contributions = air_contributions(jax.random.key(0), num_shops=3, num_dates=30)
    >>> contributions.shape, bool((contributions >= 0).all())
    ((3, 12), True)
    """
    world = _draw_world(rng_key, num_shops, num_dates, start, num_structures)

    def sales(own: NDArray) -> NDArray:
        levels = _run(world.funnel, world.kind, world.context, own)
        total: NDArray = (levels * world.scale)[:, _BURN_IN:, _GMV].sum(1)
        return total

    def without(node: int) -> NDArray:
        own = world.own.copy()
        own[:, _BURN_IN:, node] = 0.0
        return sales(own)

    return sales(world.own)[:, None] - np.stack([without(node) for node in range(_GMV)], axis=1)


def _draw_world(
    rng_key: Any, num_shops: int, num_dates: int, start: str, num_structures: int
) -> _World:
    dates = _dates(
        start,
        {
            "num_shops": (num_shops, 1),
            "num_dates": (num_dates, 2),
            "num_structures": (num_structures, 1),
        },
    )
    rng = streams(rng_key, ("funnel", "economy", "shops"))
    funnel = _draw_funnel(rng["funnel"], num_structures)
    week = np.array([-0.1, -0.12, -0.08, -0.05, 0.05, 0.18, 0.12])[np.asarray(dates.day_of_week)]
    economy = _ar(rng["economy"], 0.99, (len(dates), 1))[:, 0]
    events = _events(dates)
    drawn = [_draw_shop(part, funnel, events) for part in rng["shops"].spawn(num_shops)]
    kind = np.array([shop.kind for shop in drawn])
    context = np.stack(
        [
            np.stack([week, d.promotion, economy, d.competition, np.full(len(dates), d.kind)], -1)
            for d in drawn
        ]
    )
    scale = np.stack([d.scale for d in drawn])[:, None]
    return _World(dates, funnel, kind, context, np.stack([d.own for d in drawn]), scale)


def _dates(start: str, sizes: dict[str, tuple[Any, int]]) -> pd.DatetimeIndex:
    """Return the days including the burn-in, or raise listing every problem."""
    found = size_findings(sizes)
    parsed = parse_dates([start], "start", regular=False)
    found += [replace(own, check="setting") for own in parsed.findings]
    if found:
        raise DataError(found, "the settings of simulate.air_shops")
    num_dates, first = sizes["num_dates"][0], parsed.values[0]
    return pd.date_range(
        first - pd.Timedelta(days=_BURN_IN), periods=num_dates + _BURN_IN, freq="D"
    )


def _draw_funnel(rng: np.random.Generator, structures: int) -> _Funnel:
    nodes = len(AIR_NODES)
    chance = np.zeros((nodes, nodes))
    chance[_B, _PV], chance[_PV, _E] = 0.6, 0.6
    chance[_B, _E], chance[_B, _GMV] = 0.08, 0.12
    chance[_E, _GMV], chance[_PV, _GMV] = 0.7, 0.8
    graphs = np.empty((structures, nodes, nodes), dtype=bool)
    effects, carryover = rng.uniform(0.5, 1.5, (nodes, nodes)), rng.uniform(0.2, 0.7, nodes)
    effects[_PV, _E] *= 2
    off = np.where(_IN_FLIGHTS, rng.uniform(0.35, 0.65, nodes), 0.02)
    off[[_PV, _GMV]] = 0.0
    unit = np.exp(1.0 * rng.standard_normal(nodes))
    tilt = rng.uniform(0.5, 1.5, (nodes, 3)) * np.array([1.0, 0.6, 0.05])
    for graph, part in zip(graphs, rng.spawn(structures), strict=True):
        u = part.uniform(size=(nodes, nodes))
        graph[:] = u < chance
        # Views, sales and some effect advertising always have a cause.
        graph[np.argmin(u[_B, _PV]), _PV] = True
        graph[_E.start + np.argmin(u[_E, _GMV]), _GMV] = True
        graph[_PV, _E.start + np.argmin(u[_PV, _E])] = True
    return _Funnel(graphs, effects, carryover, off, unit, tilt)


def _draw_shop(rng: np.random.Generator, funnel: _Funnel, events: NDArray) -> _Shop:
    """Draw a shop; ``own`` is the exogenous factor of each day and node."""
    draw = dict(zip(("kind", "context", "plan", "noise", "scale"), rng.spawn(5), strict=True))
    days, nodes = len(events), len(AIR_NODES)
    # Effect advertising mostly follows the funnel; brand advertising is planned.
    sd = np.where(np.arange(nodes) < _E.start, 0.5, 0.2)
    own = np.exp(sd * _ar(draw["plan"], 0.7, (days, nodes)))
    own[:, [_PV, _GMV]] = np.exp(np.array([0.3, 0.12]) * draw["noise"].standard_normal((days, 2)))
    own *= _flights(draw["plan"], days, funnel.off)
    size = np.exp(1.2 * draw["scale"].standard_normal())
    spread = np.exp(0.5 * draw["scale"].standard_normal(nodes))
    thousands = np.where(np.arange(nodes) < _PV, 1e3, np.where(np.arange(nodes) == _PV, 1e4, 1e5))
    return _Shop(
        kind=int(draw["kind"].integers(len(funnel.graphs))),
        promotion=events * draw["context"].uniform(0.3, 1.0),
        competition=_ar(draw["context"], 0.97, (days, 1))[:, 0],
        own=own,
        scale=size * spread * funnel.unit * thousands,
    )


def _ar(rng: np.random.Generator, rho: float, shape: tuple[int, int]) -> NDArray:
    """Draw stationary AR(1) series of unit variance (time, series)."""
    x = rng.standard_normal(shape)
    for t in range(1, shape[0]):
        x[t] = rho * x[t - 1] + np.sqrt(1 - rho**2) * x[t]
    return x


def _flights(rng: np.random.Generator, days: int, off: NDArray) -> NDArray:
    """Return 1 in flights and 0 between them (time, node), zero ``off`` of the time.

    Flights last two weeks on average; where zeros are rare they are single days.
    """
    u = rng.uniform(size=(days, len(off)))
    stop = np.where(off > 0.1, 1 / _FLIGHT, off)
    go = np.where(off > 0.1, stop * (1 - off) / np.maximum(off, 0.1), 1 - off)
    on = np.empty(u.shape)
    on[0] = u[0] > off
    for t in range(1, days):
        on[t] = np.where(on[t - 1] > 0, u[t] >= stop, u[t] < go)
    return on


def _events(dates: pd.DatetimeIndex) -> NDArray:
    """Return the strength of promotions: 1 on the day of a sale, 0.4 while it builds up."""
    strength = np.zeros(len(dates))
    for month, day, before in _EVENTS:
        for year in range(dates[0].year, dates[-1].year + 1):
            ahead = (pd.Timestamp(year, month, day) - dates).days
            strength[(ahead > 0) & (ahead <= before)] = 0.4
            strength[ahead == 0] = 1.0
    return strength


def _run(funnel: _Funnel, kind: NDArray, context: NDArray, own: NDArray) -> NDArray:
    """Compute the levels of all nodes (shop, time, node), about 1, day by day from rest."""
    shops, days, nodes = own.shape
    weights = funnel.graphs[kind] * funnel.effects
    half = np.ones((shops, days, nodes))
    half[..., _GMV] = np.exp(0.3 * context[..., 3])
    factor = own * np.exp(context[..., :3] @ funnel.tilt.T)
    # Views and effect advertising run at two or three times the level of brand advertising.
    typical = np.where(np.arange(nodes) < _E.start, 1.0, 2.5)
    has_causes = np.arange(nodes) >= _E.start
    levels, carried = np.empty_like(own), np.zeros((shops, nodes))
    for t in range(days):
        power = (carried / typical)[:, :, None] ** _SLOPE
        share = power / (power + half[:, t, None] ** _SLOPE)
        drive = 0.3 + (share * weights).sum(1)
        levels[:, t] = factor[:, t] * np.where(has_causes, drive, 1.0)
        carried = funnel.carryover * carried + (1 - funnel.carryover) * levels[:, t]
    return levels
