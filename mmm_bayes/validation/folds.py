"""Training and forecast dates of the folds of a rolling-origin validation."""

from __future__ import annotations

from typing import Literal, NamedTuple

from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import DataError, Finding

Window = Literal["expanding", "sliding"]


class Fold(NamedTuple):
    """Positions of a fold's dates: training from ``start`` to ``origin``, forecast to ``end``."""

    number: int
    start: int
    origin: int
    end: int


def default_horizon(data: MMMData) -> int:
    """Return the rows of a quarter of a year, 28 for daily and 1 for yearly tables."""
    if data.time_step.unit == "day" and data.time_step.n == 1:
        return 28
    return max(1, round(data.time_step.per_year / 4))


def fewest_rows(data: MMMData) -> int:
    """Return the fewest training rows: two per coefficient, roughly."""
    return 2 * (len(data.channels) + len(data.controls) + 2)


def make_folds(
    data: MMMData,
    folds: int,
    horizon: int | None,
    min_train: int | None,
    step: int | None,
    window: Window,
) -> list[Fold]:
    """Make folds whose last forecast ends on the last date of the table.

    Parameters
    ----------
    data
        The whole table.
    folds
        Number of origins.
    horizon
        Number of dates forecast from each origin; by default :func:`default_horizon`.
    min_train
        Fewest training dates; the length of a sliding window.
    step
        Number of dates between origins; by default the horizon, so that no date is forecast twice.
    window
        ``"expanding"``: from the first date on; ``"sliding"``: of constant length.

    Raises
    ------
    DataError
        Listing every problem, and the number of folds that the table has room for.
    """
    found: list[Finding] = []

    def refuse(check: str, message: str, remedy: str) -> None:
        found.append(Finding(check, "error", message, remedy))

    horizon = default_horizon(data) if horizon is None else horizon
    step = horizon if step is None else step
    for name, value in (("folds", folds), ("horizon", horizon), ("step", step)):
        if value < 1:
            refuse(name, f"{name} should be 1 or more, but got {value}.", "")
    if window not in ("expanding", "sliding"):
        refuse("window", f"window should be 'expanding' or 'sliding', but got {window!r}.", "")
    if not data.has_target:
        text = "Forecasts are scored against the target, but some of its values are missing."
        refuse("target", text, "Drop the rows without a target.")
    if found:
        raise DataError(found, "the validation")
    needed = fewest_rows(data) if min_train is None else min_train
    first = data.num_dates - horizon - (folds - 1) * step
    if needed < 3:
        refuse("min_train", f"min_train should be 3 or more, but got {min_train}.", "")
    elif first < needed:
        room = max(0, (data.num_dates - horizon - needed) // step + 1)
        text = (
            f"{folds} origins {step} dates apart with a horizon of {horizon} dates leave {first} "
            f"of {data.num_dates} dates to train the first fold; {needed} are needed."
        )
        remedy = f"There is room for {room} folds: lower folds, horizon, step or min_train."
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
    """Return the dates that every fold is trained on, if there are at least ``fewest``."""
    start, stop = max(fold.start for fold in folds), min(fold.origin for fold in folds)
    return (start, stop) if stop - start >= fewest else None
