"""Experiments beside predictions: what a lift test saw, and what a model says of the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from mmm_bayes.data.findings import DataError, Finding, listing, nearest

if TYPE_CHECKING:
    import pandas as pd


NDArray = np.ndarray[Any, Any]

Agreement = Literal["agrees", "model too low", "model too high"]

_COLUMNS = ("channel", "start", "end", "lift", "standard_error", "geo", "spend_change", "name")
_NEEDED = _COLUMNS[:5]


@final
@dataclass(frozen=True)
class LiftTest:
    """One experiment on one channel.

    Attributes
    ----------
    channel : str
        Channel.
    start, end : pandas.Timestamp
        First and last day of the test; rows dated between count, both ends included.
    lift : float
        Outcome that the change of spend brought over these dates and geos; negative where spend was
        cut and the outcome fell.
    standard_error : float
        Its standard error.
    geos : tuple of str
        Geos under test; empty for all.
    spend_change : float or None
        Money by which spend changed over the test; None for a channel as spent against off, with
        ``lift`` what the spend brought.
    name : str
        For tables and figures; by default channel and start.
    """

    channel: str
    start: pd.Timestamp
    end: pd.Timestamp
    lift: float
    standard_error: float
    geos: tuple[str, ...] = ()
    spend_change: float | None = None
    name: str = ""

    def __post_init__(self) -> None:
        import pandas as pd

        for field in ("start", "end"):
            object.__setattr__(self, field, pd.Timestamp(getattr(self, field)))
        if not self.name:
            object.__setattr__(self, "name", f"{self.channel} {self.start:%Y-%m-%d}")
        problems = _problems(self)
        if problems:
            raise DataError(
                [Finding("lift_test", "error", text, "Correct the test.", self.channel)
                 for text in problems], f"the lift test {self.name!r}",
            )  # fmt: skip


def _problems(test: LiftTest) -> list[str]:
    problems = []
    if not test.channel:
        problems.append("The channel is missing.")
    if not test.start <= test.end:
        problems.append(f"The end {test.end:%Y-%m-%d} is before the start {test.start:%Y-%m-%d}.")
    if not np.isfinite(test.lift):
        problems.append(f"The lift is {test.lift}.")
    if not (np.isfinite(test.standard_error) and test.standard_error > 0):
        problems.append(f"The standard error should be above zero; got {test.standard_error}.")
    if test.spend_change is not None and not np.isfinite(test.spend_change):
        problems.append(f"The change of spend is {test.spend_change}.")
    if test.spend_change == 0:
        problems.append("The change of spend is zero: there was nothing to test.")
    return problems


def read_lift_tests(
    frame: pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    *,
    channels: Iterable[str] = (),
    geos: Iterable[str] = (),
    dates: Any = None,
) -> tuple[LiftTest, ...]:
    """Read lift tests, one a row, and check them all at once.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``channel, start, end, lift, standard_error`` and, where they apply, ``geo``
        (several joined by ``|``, empty for all), ``spend_change`` (empty for on against off) and
        ``name``.
    columns : mapping of str to str, optional
        Other names of these columns.
    channels, geos : iterable of str
        Those of the model, to check against; empty for no check.
    dates : array of datetimes, optional
        Those of the model: a test that no date falls into is refused.

    Raises
    ------
    DataError
        Listing every row that is wrong and why.
    """
    names = {name: (columns or {}).get(name, name) for name in _COLUMNS}
    missing = [names[name] for name in _NEEDED if names[name] not in frame.columns]
    if missing:
        raise DataError(
            [
                Finding("column", "error", f"There is no column {column!r}.",
                        nearest(column, map(str, frame.columns)).strip() or "Name it in columns=.",
                        column)
                for column in missing
            ], "the lift tests",
        )  # fmt: skip
    findings: list[Finding] = []
    found = []
    for row, record in enumerate(frame.to_dict("records")):
        values = {name: record.get(column) for name, column in names.items()}
        try:
            test = _read(values)
        except (DataError, ValueError, TypeError) as error:
            texts = [f.message for f in error.findings] if isinstance(error, DataError) else [
                str(error)]  # fmt: skip
            findings += [
                Finding("lift_test", "error", f"Row {row}: {text}", "Correct the row.", rows=(row,))
                for text in texts
            ]
            continue
        findings += _against_model(test, row, tuple(channels), tuple(geos), dates)
        found.append(test)
    if findings:
        raise DataError(findings, "the lift tests")
    return tuple(found)


def _read(values: Mapping[str, Any]) -> LiftTest:
    import pandas as pd

    def empty(value: Any) -> bool:
        return value is None or value == "" or bool(pd.isna(value))

    geos: tuple[str, ...] = ()
    if not empty(values["geo"]):
        geos = tuple(part.strip() for part in str(values["geo"]).split("|") if part.strip())
    return LiftTest(
        channel="" if empty(values["channel"]) else str(values["channel"]),
        start=_date(values["start"], "start"),
        end=_date(values["end"], "end"),
        lift=_number(values["lift"], "lift"),
        standard_error=_number(values["standard_error"], "standard error"),
        geos=geos,
        spend_change=None if empty(values["spend_change"]) else _number(
            values["spend_change"], "change of spend"),
        name="" if empty(values["name"]) else str(values["name"]),
    )  # fmt: skip


def _number(value: Any, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"The {what} should be a number; got {value!r}.") from None


def _date(value: Any, what: str) -> pd.Timestamp:
    import pandas as pd

    found = pd.to_datetime(value, errors="coerce")
    if pd.isna(found):
        raise ValueError(f"The {what} should be a date; got {value!r}.")
    return found


def _against_model(
    test: LiftTest, row: int, channels: Sequence[str], geos: Sequence[str], dates: Any
) -> list[Finding]:
    import pandas as pd

    findings = []
    if channels and test.channel not in channels:
        hint = nearest(test.channel, channels).strip() or f"There are {listing(channels, 12)}."
        message = f"Row {row}: there is no channel {test.channel!r}."
        findings.append(Finding("channel", "error", message, hint, rows=(row,)))
    for geo in test.geos:
        if geos and geo not in geos:
            hint = nearest(geo, geos).strip() or f"There are {listing(geos, 12)}."
            message = f"Row {row}: there is no geo {geo!r}."
            findings.append(Finding("geo", "error", message, hint, rows=(row,)))
    if dates is not None:
        own = pd.DatetimeIndex(dates)
        if not ((own >= test.start) & (own <= test.end)).any():
            message = (
                f"Row {row}: no date of the model lies from {test.start:%Y-%m-%d} to "
                f"{test.end:%Y-%m-%d}; it has {own.min():%Y-%m-%d} to {own.max():%Y-%m-%d}."
            )
            findings.append(Finding("dates", "error", message, "Correct the dates.", rows=(row,)))
    return findings


@final
@dataclass(frozen=True, eq=False)
class LiftComparison:
    """Observed lifts beside predicted ones.

    Attributes
    ----------
    tests : tuple of LiftTest
        The experiments.
    draws : tuple of ndarray
        Predicted draws (draw,) of each.
    table : pandas.DataFrame
        By test: observed lift with its interval, predicted median with its interval, ``z``, ``p``,
        ``share_beyond`` (of predicted draws above the observed lift), ``overlap`` of the intervals,
        ``agreement``.
    level : float
        Probability of the intervals.
    chi_squared_p : float
        That all tests together deviate as much by chance.
    """

    tests: tuple[LiftTest, ...]
    draws: tuple[NDArray, ...]
    table: pd.DataFrame
    level: float
    chi_squared_p: float

    @property
    def verdict(self) -> str:
        """What the tests together say of the model, in words."""
        count, agreeing = len(self.tests), int((self.table["agreement"] == "agrees").sum())
        words = f"{agreeing} of {count} tests agree with the model"
        off = self.table[self.table["agreement"] != "agrees"]
        words += "".join(f"; {name}: {own}" for name, own in off["agreement"].items())
        if self.chi_squared_p < 0.05:
            return words + f". Together they contradict it (p = {self.chi_squared_p:.2g})."
        return words + f". Together they do not contradict it (p = {self.chi_squared_p:.2g})."

    def to_frame(self) -> pd.DataFrame:
        """The table."""
        return self.table

    def summary(self) -> str:
        """The text of ``str()``."""
        return str(self)

    def __str__(self) -> str:
        return self.table.to_string(float_format=lambda x: f"{x:.4g}") + "\n" + self.verdict

    def _repr_html_(self) -> str:
        table = self.table.to_html(float_format=lambda x: f"{x:.4g}")
        return f"{table}<p>{self.verdict}</p>"


def compare_lift_tests(
    predict: Callable[[LiftTest], NDArray], tests: Iterable[LiftTest], *, level: float = 0.9
) -> LiftComparison:
    r"""Compare lift tests with what a model predicts for the same dates, geos and channel.

    With the draws' mean :math:`m` and deviation :math:`s`, and the test's lift :math:`l` and error
    :math:`e`, :math:`z = (l - m) / \sqrt{s^2 + e^2}`. A test agrees if :math:`|z|` stays below the
    normal quantile of ``level``.

    Parameters
    ----------
    predict : callable
        Takes a :class:`LiftTest` and returns draws (draw,) of the lift.
    tests : iterable of LiftTest
        The experiments.
    level : float
        Probability of intervals and of agreement.

    Raises
    ------
    DataError
        If there are no tests, or a prediction is no finite numbers.
    """
    import pandas as pd
    from scipy.stats import chi2, norm

    own = tuple(tests)
    if not own:
        found = Finding("tests", "error", "There are no lift tests.", "Give at least one.")
        raise DataError([found], "the comparison")
    draws = tuple(np.asarray(predict(test), float).ravel() for test in own)
    bad = [
        t.name for t, d in zip(own, draws, strict=True) if not d.size or not np.isfinite(d).all()
    ]
    if bad:
        message = f"The prediction of {listing(bad)} is not all finite numbers."
        remedy = "predict should return draws (draw,) of the lift."
        raise DataError([Finding("predict", "error", message, remedy)], "the comparison")
    reach = float(norm.ppf(0.5 + 0.5 * level))
    rows = [_row(test, d, reach, level) for test, d in zip(own, draws, strict=True)]
    table = pd.DataFrame(rows).set_index("test")
    p = float(chi2.sf(float((table["z"] ** 2).sum()), len(own)))
    return LiftComparison(own, draws, table, level, p)


def _row(test: LiftTest, draws: NDArray, reach: float, level: float) -> dict[str, Any]:
    from scipy.stats import norm

    tail = 0.5 * (1.0 - level)
    low, median, high = np.quantile(draws, [tail, 0.5, 1.0 - tail])
    seen_low, seen_high = (test.lift + sign * reach * test.standard_error for sign in (-1, 1))
    z = (test.lift - draws.mean()) / np.hypot(draws.std(), test.standard_error)
    shared = max(0.0, min(high, seen_high) - max(low, seen_low))
    shorter = min(high - low, seen_high - seen_low)
    inside = low <= seen_high and seen_low <= high
    overlap = shared / shorter if shorter > 0 else float(inside)
    agreement: Agreement = "agrees"
    if abs(z) > reach:
        agreement = "model too low" if z > 0 else "model too high"
    return {
        "test": test.name,
        "channel": test.channel,
        "observed": test.lift,
        "observed_low": seen_low,
        "observed_high": seen_high,
        "predicted": median,
        "predicted_low": low,
        "predicted_high": high,
        "z": z,
        "p": float(2.0 * norm.sf(abs(z))),
        "share_beyond": float((draws > test.lift).mean()),
        "overlap": overlap,
        "agreement": agreement,
    }
