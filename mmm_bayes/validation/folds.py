"""Which dates a rolling-origin validation trains on, and which it forecasts."""

from __future__ import annotations

from typing import Literal, NamedTuple

from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import DataError, Finding

Window = Literal["expanding", "sliding"]


class Fold(NamedTuple):
    """Positions of a fold's dates: trained on ``start`` to ``origin``, forecast to ``end``."""

    number: int
    start: int
    origin: int
    end: int


def default_horizon(data: MMMData) -> int:
    """A quarter of a year; 28 days of daily rows; one row of yearly ones."""
    if data.time_step.unit == "day" and data.time_step.n == 1:
        return 28
    return max(1, round(data.time_step.per_year / 4))


def fewest_rows(data: MMMData) -> int:
    """Rows without which a training window has more coefficients than rows: two a column."""
    return 2 * (len(data.channels) + len(data.controls) + 2)


def make_folds(
    data: MMMData,
    folds: int,
    horizon: int | None,
    min_train: int | None,
    step: int | None,
    window: Window,
) -> list[Fold]:
    """Folds whose last forecast ends with the table.

    Parameters
    ----------
    data
        The whole table.
    folds
        Number of origins.
    horizon
        Dates forecast from each; :func:`default_horizon` if not given.
    min_train
        Fewest training dates; of a sliding window, its length.
    step
        Dates from one origin to the next: the horizon if not given, so that no date is forecast
        twice.
    window
        ``"expanding"``: from the first date on; ``"sliding"``: of constant length.

    Raises
    ------
    DataError
        With everything that is wrong, and how many folds the table has room for.
    """
    found: list[Finding] = []

    def refuse(check: str, message: str, remedy: str) -> None:
        found.append(Finding(check, "error", message, remedy))

    horizon = default_horizon(data) if horizon is None else horizon
    step = horizon if step is None else step
    for name, value in (("folds", folds), ("horizon", horizon), ("step", step)):
        if value < 1:
            refuse(name, f"{name} should be 1 or more, but is {value}.", "")
    if window not in ("expanding", "sliding"):
        refuse("window", f"window should be 'expanding' or 'sliding', but is {window!r}.", "")
    if not data.has_target:
        refuse("target", "Forecasts are judged on known targets, but some are empty.", "Drop them.")
    if found:
        raise DataError(found, "the validation")
    needed = fewest_rows(data) if min_train is None else min_train
    first = data.n_dates - horizon - (folds - 1) * step
    if needed < 3:
        refuse("min_train", f"min_train should be 3 or more, but is {min_train}.", "")
    elif first < needed:
        room = max(0, (data.n_dates - horizon - needed) // step + 1)
        text = (
            f"{folds} origins {step} dates apart, with {horizon} dates forecast from each, leave "
            f"{first} of {data.n_dates} dates to train the first on; {needed} are needed."
        )
        remedy = f"There is room for {room}: lower folds, horizon, step or min_train."
        refuse("min_train", text, remedy)
    if found:
        raise DataError(found, "the validation")
    length = first if min_train is None else min_train
    result = []
    for number in range(folds):
        origin = first + number * step
        start = origin - length if window == "sliding" else 0
        result.append(Fold(number, start, origin, origin + horizon))
    return result


def common_window(folds: list[Fold], fewest: int) -> tuple[int, int] | None:
    """Dates that every fold is trained on, if there are at least so many."""
    start, stop = max(fold.start for fold in folds), min(fold.origin for fold in folds)
    return (start, stop) if stop - start >= fewest else None
