"""Draw the parts of a simulated panel of shops, and assemble them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final, get_args

import numpy as np

from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.findings import DataError, Finding
from mmm_bayes.runtime.streams import streams
from mmm_bayes.simulate.setting_checks import (
    interval_findings,
    name_findings,
    setting_finding,
    size_findings,
)
from mmm_bayes.simulate.shops_graph import draw_graph, graph_findings
from mmm_bayes.simulate.shops_mechanisms import (
    DIVERGED,
    PRODUCT,
    Mechanisms,
    draw_hidden,
    draw_loadings,
    draw_roots,
    hill_settings,
    respond,
    run,
    spend_from_shocks,
)

NDArray = np.ndarray[Any, Any]
Difficulty = Literal["nonlinear", "spends", "confounded", "short"]
Sharing = Literal["shared", "shop"]

_N_CONTEXT = 2
_SHORT = 30
_ATTEMPTS = 100


@final
@dataclass(frozen=True)
class ShopSettings:
    """Settings of a panel of simulated shops; see :func:`simulate.shops` for what they mean."""

    simulation: Literal[1, 2] = 1
    num_shops: int = 50
    num_channels: int = 10
    num_dates: int = 120
    num_structures: int = 5
    num_lags: int = 7
    noise_sd: float = 0.1
    edge_probability: float = 0.5
    root_share: float = 0.5
    burn_in: int = 200
    mechanisms: Sharing = "shared"
    difficulty: tuple[Difficulty, ...] = ()

    def __post_init__(self) -> None:
        least = {
            "num_shops": 1,
            "num_channels": 1,
            "num_dates": 2,
            "num_structures": 1,
            "num_lags": 1,
            "burn_in": 0,
        }
        found = size_findings({name: (getattr(self, name), low) for name, low in least.items()})
        found += name_findings({"mechanisms": (self.mechanisms, get_args(Sharing))})
        names: Any = self.difficulty
        if isinstance(names, str) or not isinstance(names, Sequence):
            found.append(setting_finding("difficulty", "a tuple of names", names))
            names = ()
        for one in names:
            found += name_findings({"difficulty": (one, get_args(Difficulty))})
        if self.simulation not in (1, 2):
            found.append(setting_finding("simulation", "1 or 2", self.simulation))
        # Without noise all shops with the same graph would have the same series.
        ranges = {"edge_probability": "(0, 1]", "root_share": "(0, 1]", "noise_sd": "(0, inf)"}
        found += interval_findings({name: (getattr(self, name), r) for name, r in ranges.items()})
        if found:
            raise DataError(found, "the settings of simulate.shops")

    @property
    def num_times(self) -> int:
        """Length of the series: at most 30 if ``difficulty`` has ``"short"``."""
        return min(self.num_dates, _SHORT) if "short" in self.difficulty else self.num_dates

    @property
    def num_hidden(self) -> int:
        """Number of hidden drivers: one per four channels if ``difficulty`` asks for them."""
        is_confounded = "confounded" in self.difficulty and self.num_channels > 1
        return max(1, self.num_channels // 4) if is_confounded else 0

    @property
    def response_scale(self) -> float:
        """Standard deviation that the target would have if its causes were white noise."""
        causes = self.edge_probability * self.num_channels
        return self.noise_sd * float(np.sqrt(1 + causes * self.num_lags / 3))


@final
@dataclass(frozen=True, eq=False)
class SimulatedShops:
    """A panel of simulated shops, and everything that generated it.

    Attributes
    ----------
    panel : ShopPanel
    settings : ShopSettings
    graphs : numpy.ndarray
        The latent graphs (structure, source, target).
    mechanisms : mmm_bayes.simulate.shops_mechanisms.Mechanisms
    noise : numpy.ndarray
        The noise e (shop, time, node), including the burn-in.
    hidden : numpy.ndarray
        Hidden drivers (shop, time, driver), including the burn-in.
    states : numpy.ndarray
        Series before the response curve and the scale of spend (shop, time, node), including the
        burn-in; the state of the target is u.
    scale : numpy.ndarray
        Factor on the states (shop, node).
    alpha, gamma : numpy.ndarray
        Exponent and half-saturation parameter of each shop's response curve.
    """

    panel: ShopPanel
    settings: ShopSettings
    graphs: NDArray
    mechanisms: Mechanisms
    noise: NDArray
    hidden: NDArray
    states: NDArray
    scale: NDArray
    alpha: NDArray
    gamma: NDArray


def simulate_shops_with_truth(
    rng_key: Any,
    settings: ShopSettings,
    *,
    mechanism_key: Any = None,
    graphs: NDArray | None = None,
) -> SimulatedShops:
    """Simulate shops as :func:`simulate.shops` does, and return all they follow from."""
    rng = streams(rng_key, ("graphs", "shops"))
    mechanisms = _draw_mechanisms(rng_key if mechanism_key is None else mechanism_key, settings)
    latent = _latent(rng["graphs"], settings, graphs)
    # One generator per shop, from which its parts are spawned: no two shops can share noise.
    parts = [shop.spawn(5) for shop in rng["shops"].spawn(settings.num_shops)]
    structure = np.array([int(part[0].integers(len(latent))) for part in parts])
    drawn = _draw_stable(settings, latent[structure], mechanisms, [p[1:4] for p in parts])
    noise, hidden, states = drawn
    context = np.stack([part[4].standard_normal(_N_CONTEXT) for part in parts])
    alpha, gamma = hill_settings(context, mechanisms.curve)
    scale = np.ones((settings.num_shops, settings.num_channels + 1))
    if "spends" in settings.difficulty:
        is_root = ~latent[structure].any(1)[:, :-1]
        logs = np.stack([p[4].standard_normal(settings.num_channels) for p in parts])
        scale[:, :-1] = np.where(is_root, 1000 * np.exp(1.5 * logs), 1.0)
    series = scale[:, None] * states[:, settings.burn_in :]
    if settings.simulation == 2:
        series[..., -1] = respond(
            series[..., -1], alpha[:, None], gamma[:, None], settings.response_scale
        )
    panel = ShopPanel(
        series=series,
        nodes=(*(f"x{i}" for i in range(settings.num_channels)), "y"),
        shops=tuple(f"shop{i}" for i in range(settings.num_shops)),
        context=np.repeat(context[:, None], settings.num_times, axis=1),
        context_names=tuple(f"context{i}" for i in range(_N_CONTEXT)),
        groups=(*["channel"] * settings.num_channels, "target"),
        adjacency=latent[structure],
        structure=structure,
    )
    return SimulatedShops(
        panel, settings, latent, mechanisms, noise, hidden, states, scale, alpha, gamma
    )


def _latent(rng: np.random.Generator, settings: ShopSettings, graphs: Any) -> NDArray:
    if graphs is not None:
        given = np.asarray(graphs)
        if found := graph_findings(given, settings.num_channels):
            raise DataError(found, "the graphs of simulate.shops")
        return given
    return np.stack(
        [
            draw_graph(
                part,
                settings.num_channels,
                root_share=settings.root_share,
                edge_probability=settings.edge_probability,
            )
            for part in rng.spawn(settings.num_structures)
        ]
    )


def _draw_mechanisms(key: Any, settings: ShopSettings) -> Mechanisms:
    rng = streams(key, ("roots", "weights", "shapes", "drivers", "curve"))
    count = 1 if settings.mechanisms == "shared" else settings.num_shops
    nodes = settings.num_channels + 1
    lags = settings.num_lags
    shapes = np.stack(
        [part.integers(PRODUCT + 1, size=(nodes, nodes)) for part in rng["shapes"].spawn(count)]
    )
    angles = rng["curve"].uniform(0, 2 * np.pi, 2)
    return Mechanisms(
        roots=np.stack(
            [draw_roots(part, nodes, lags, settings.noise_sd) for part in rng["roots"].spawn(count)]
        ),
        weights=np.stack(
            [part.uniform(-1, 1, (nodes, nodes, lags)) for part in rng["weights"].spawn(count)]
        ),
        shapes=shapes if "nonlinear" in settings.difficulty else np.zeros_like(shapes),
        loadings=draw_loadings(rng["drivers"], settings.num_channels, settings.num_hidden),
        curve=np.array([[1.0], [0.7]]) * np.stack([np.cos(angles), np.sin(angles)], 1),
    )


def _draw_stable(
    settings: ShopSettings,
    graphs: NDArray,
    mechanisms: Mechanisms,
    parts: Sequence[Sequence[np.random.Generator]],
) -> tuple[NDArray, NDArray, NDArray]:
    """Draw noise and hidden drivers and run them; repeat for shops in which a root diverges."""
    steps = settings.burn_in + settings.num_times
    noise = np.empty((settings.num_shops, steps, settings.num_channels + 1))
    hidden = np.empty((settings.num_shops, steps, settings.num_hidden))
    states = np.empty_like(noise)
    left = list(range(settings.num_shops))
    unit, roots_are_spend = settings.noise_sd, "spends" in settings.difficulty
    for _ in range(_ATTEMPTS):
        for n in left:
            noise[n] = unit * parts[n][0].standard_normal(noise.shape[1:])
            hidden[n] = draw_hidden(parts[n][1], steps, settings.num_hidden)
        pushes = unit * hidden[left] @ mechanisms.loadings
        spend = None
        if roots_are_spend:
            shocks = noise[left] + pushes
            spend = np.stack(
                [spend_from_shocks(parts[n][2], shocks[k], unit) for k, n in enumerate(left)]
            )
        own = len(mechanisms.weights) > 1
        states[left] = run(
            graphs[left],
            _of_shops(mechanisms, left) if own else mechanisms,
            noise[left],
            unit=unit,
            pushes=pushes,
            spend=spend,
        )
        is_root = np.logical_not(graphs[left].any(1))
        is_root[:, -1] = False
        diverged = (np.abs(states[left]) >= DIVERGED * unit).any(1)
        has_left = np.asarray((diverged & is_root).any(1))
        left = [n for n, again in zip(left, has_left, strict=True) if again and not roots_are_spend]
        if not left:
            return noise, hidden, states
    text = f"Roots of {len(left)} shop(s) diverge in all {_ATTEMPTS} draws of their noise."
    remedy = "Shorten the series, or use another mechanism_key."
    raise DataError([Finding("diverged", "error", text, remedy)], "the shops")


def _of_shops(mechanisms: Mechanisms, shops: list[int]) -> Mechanisms:
    return replace(
        mechanisms,
        roots=mechanisms.roots[shops],
        weights=mechanisms.weights[shops],
        shapes=mechanisms.shapes[shops],
    )
