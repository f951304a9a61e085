"""What one run of the CausalMMM experiment is: a panel of shops, and one method on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

Options = tuple[tuple[str, Any], ...]


@final
@dataclass(frozen=True)
class GraphRun:
    """Graphs of simulated shops by one method.

    Attributes
    ----------
    simulation, shops, channels, length, structures, difficulty, mechanisms
        As in :func:`~mmm_bayes.simulate.shops`; ``shops`` counts those of training.
        The shops that test, their graphs and those of training are the same whatever ``shops`` is.
    test_shops : int
        Number of shops that test, of the training shops' graphs; as many again have others.
    method : str
        Some of :data:`~studies.causalmmm.methods.GRAPH_METHODS`.
    options : tuple of (str, value)
        Settings of :class:`~mmm_bayes.causal_mmm.CausalMMM` that differ from the method's own.
    """

    DATA: ClassVar[tuple[str, ...]] = (
        "simulation", "channels", "length", "structures", "difficulty", "mechanisms", "test_shops",
    )  # fmt: skip

    simulation: Literal[1, 2] = 1
    shops: int = 50
    channels: int = 10
    length: int = 120
    structures: int = 5
    difficulty: tuple[str, ...] = ()
    mechanisms: Literal["shared", "shop"] = "shared"
    test_shops: int = 50
    method: str = "causalmmm"
    options: Options = ()


@final
@dataclass(frozen=True)
class CurveRun:
    """One training of so many epochs: losses on the way, and how good the graphs are at its end.

    Attributes
    ----------
    epochs : int
        Epochs, over which step size and temperature fall.
    simulation, shops, channels, length, structures, test_shops, method, options
        As in :class:`GraphRun`.
    """

    DATA: ClassVar[tuple[str, ...]] = ("simulation", "channels", "length", "structures")

    epochs: int = 40
    simulation: Literal[1, 2] = 2
    shops: int = 50
    channels: int = 10
    length: int = 120
    structures: int = 5
    test_shops: int = 50
    method: str = "causalmmm"
    options: Options = ()


@final
@dataclass(frozen=True)
class TimingRun:
    """Seconds that training takes on some of the shops, or some of the times, of a panel.

    Attributes
    ----------
    axis : {"shops", "length"}
        What the runs of a series differ by.
    shops, length, channels, structures
        Size of the panel.
    method, options
        As in :class:`GraphRun`.
    epochs : int
        Epochs timed, of which the first, which compiles, does not count.
    """

    DATA: ClassVar[tuple[str, ...]] = ("channels", "structures")

    axis: Literal["shops", "length"] = "shops"
    shops: int = 300
    length: int = 120
    channels: int = 10
    structures: int = 5
    method: str = "causalmmm"
    options: Options = ()
    epochs: int = 6


@final
@dataclass(frozen=True)
class ForecastRun:
    """Forecasts of sales on a panel in the shape of an online platform's, by one method.

    Attributes
    ----------
    shops, length
        Of :func:`~mmm_bayes.simulate.air_shops`.
    horizons, origins
        Of :func:`~mmm_bayes.validation.panel.backtest.backtest`.
    method : str
        Some of :data:`~studies.causalmmm.forecasts.FORECAST_METHODS`.
    options
        As in :class:`GraphRun`.
    """

    DATA: ClassVar[tuple[str, ...]] = ("length",)

    shops: int = 50
    length: int = 676
    horizons: tuple[int, ...] = (1, 7, 30)
    origins: int = 4
    method: str = "causalmmm"
    options: Options = ()


Run = GraphRun | CurveRun | TimingRun | ForecastRun
