"""Lift tests: the channels, dates, geos and change of spend of an experiment, and its result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack, final

import numpy as np

from mmm_bayes.data.cell_values import LARGEST, cell_text, plain_frame, to_float
from mmm_bayes.data.dates import FIRST_DATE, LAST_DATE, parse_dates
from mmm_bayes.data.labels import known_label, label_text
from mmm_bayes.data.time_step import MARKS, infer_step, share_within
from mmm_bayes.runtime.arguments import ArgumentError, wrong_fields
from mmm_bayes.runtime.deprecation import named_arguments, spelled_out
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest
from mmm_bayes.runtime.text_file import parse_json

if TYPE_CHECKING:
    import pandas as pd

Measure = Literal["lift", "roas", "cost_per_target"]

MEASURES: tuple[Measure, ...] = ("lift", "roas", "cost_per_target")

_NEEDED = ("channel", "start", "end", "lift", "standard_error")
_COLUMNS = (*_NEEDED, "geo", "spend_change", "measured_until", "measure", "recorded", "name")


class LiftTestSettings(TypedDict, total=False):
    """Fields of :class:`LiftTest` that have a default."""

    geos: tuple[str, ...]
    spend_change: float | tuple[float, ...] | None
    name: str
    measured_until: Any
    recorded: bool


@final
@dataclass(frozen=True)
class LiftTest:
    """One experiment on one channel, or on several channels at once.

    Attributes
    ----------
    channel : str or tuple of str
        Channel, or channels whose spend changed together.
    start, end : pandas.Timestamp
        First and last day of the change of spend. A row that lies partly between them counts in
        proportion to its days. If both are dates of rows of the table, the test is these rows and
        all between them, each as a whole.
    lift : float
        The measured value, in the unit of ``measure``. A lift is the change of the outcome over the
        dates and geos of the test: negative if spend was cut and the outcome fell.
    standard_error : float
        Standard error of ``lift``.
    geos : tuple of str
        Geos of the test; empty for all.
    spend_change : float, tuple of float or None
        Total change of spend over the test, one number per channel. None compares the channel's
        spend with no spend, and ``lift`` is the effect of all of it.
    name : str
        Name in tables and figures; by default the channels and the start.
    measured_until : pandas.Timestamp or None
        Last day whose outcome was measured, ``end`` or later, so that carry-over after the change
        counts until then. By default ``end``: later carry-over was not measured.
    measure : {"lift", "roas", "cost_per_target"}
        What ``lift`` measures: the target; revenue per unit of the spend change; spend change per
        unit of the target.
    recorded : bool
        Whether the spend of the table includes the change, as it does if the test ran in these rows
        (the comparison is then with the table's spend less the change). False: the change comes on
        top of the table's spend.

    Examples
    --------
    >>> LiftTest("tv", "2024-03-04", "2024-03-31", lift=900.0, standard_error=150.0).name
    'tv 2024-03-04'
    """

    channel: str | tuple[str, ...]
    start: pd.Timestamp
    end: pd.Timestamp
    lift: float
    standard_error: float
    geos: tuple[str, ...] = ()
    spend_change: float | tuple[float, ...] | None = None
    name: str = ""
    measured_until: pd.Timestamp | None = None
    measure: Measure = "lift"
    recorded: bool = True

    def __post_init__(self) -> None:
        if wrong := wrong_fields(self, ("channel", "spend_change", "name", "measure")):
            raise ArgumentError(wrong, "the lift test")
        unread = self._read_dates()
        for field in ("channel", "geos", "spend_change"):
            value = getattr(self, field)
            if not isinstance(value, str) and isinstance(value, Iterable):
                object.__setattr__(self, field, tuple(value))
        given: Any = self.geos  # one geo may be given by itself
        geos = given if isinstance(given, tuple) else (given,)
        object.__setattr__(self, "geos", tuple(map(label_text, geos)))
        if not self.name:
            day = "" if unread else f" {self.start:%Y-%m-%d}"
            object.__setattr__(self, "name", f"{self.label}{day}")
        problems = unread or _problems(self)
        if problems:
            raise DataError(
                [Finding("lift_test", "error", text, "Correct the test.", self.label)
                 for text in problems], f"the lift test {self.name!r}",
            )  # fmt: skip

    def _read_dates(self) -> list[str]:
        """Replace the dates by timestamps, all read alike; return what is wrong with them."""
        given = {"start": self.start, "end": self.end, "measured_until": self.measured_until}
        if given["measured_until"] is None:
            del given["measured_until"]
        parsed = parse_dates(list(given.values()), "start and end", regular=False)
        for field, day in zip(given, parsed.values, strict=True):
            object.__setattr__(self, field, day)
        ambiguous = [str(own) for own in parsed.findings if own.check == "ambiguous_date"]
        return ambiguous or [
            _not_a_date(field, value)
            for (field, value), lost in zip(given.items(), parsed.values.isna(), strict=True)
            if lost
        ]

    @classmethod
    @spelled_out(LiftTestSettings)
    def of_roas(
        cls,
        channel: str | tuple[str, ...],
        start: Any,
        end: Any,
        roas: float,
        standard_error: float,
        **settings: Unpack[LiftTestSettings],
    ) -> Self:
        """Make a test of a measured return on spend: revenue per unit of money.

        With ``spend_change`` it is the return on the change (an incremental ROAS), without it the
        return on all of the channel's spend in the rows of the test.
        """
        return cls(channel, start, end, roas, standard_error, measure="roas", **settings)

    @classmethod
    @spelled_out(LiftTestSettings)
    def of_cost_per_target(
        cls,
        channel: str | tuple[str, ...],
        start: Any,
        end: Any,
        cost: float,
        standard_error: float,
        **settings: Unpack[LiftTestSettings],
    ) -> Self:
        """State a measured cost per unit of incremental target (a CPA, cost per order)."""
        return cls(channel, start, end, cost, standard_error, measure="cost_per_target", **settings)

    def with_known_labels(self, channels: Sequence[str], geos: Sequence[str]) -> Self:
        """Return the test with its channels and geos named as the table names them."""
        own = tuple(known_label(name, channels) for name in self.channels)
        return replace(
            self,
            channel=own[0] if isinstance(self.channel, str) else own,
            geos=tuple(known_label(name, geos) for name in self.geos),
        )

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels of the test."""
        return (self.channel,) if isinstance(self.channel, str) else self.channel

    @property
    def changes(self) -> tuple[float, ...] | None:
        """Change of spend of each channel; None compares with no spend."""
        if self.spend_change is None or isinstance(self.spend_change, tuple):
            return self.spend_change
        return (float(self.spend_change),)

    @property
    def label(self) -> str:
        """Channels joined by plus signs."""
        return " + ".join(map(str, self.channels))

    @property
    def until(self) -> pd.Timestamp:
        """Last day whose outcome was measured."""
        return self.end if self.measured_until is None else self.measured_until


def _problems(test: LiftTest) -> list[str]:
    problems = []
    given: tuple[object, ...] = test.channels
    named = all(isinstance(name, str) and name for name in given)
    if not test.channels or not named:
        problems.append("channel is missing.")
    elif len(set(test.channels)) < len(test.channels):
        problems.append(f"channel names one channel twice: {listing(test.channels)}.")
    if not test.start <= test.end:
        problems.append(f"The end {test.end:%Y-%m-%d} is before the start {test.start:%Y-%m-%d}.")
    if not test.end <= test.until and test.start <= test.end:
        problems.append(
            f"The outcome is measured until {test.until:%Y-%m-%d}, before the end of the test "
            f"on {test.end:%Y-%m-%d}."
        )
    if not _usable(test.lift):
        problems.append(f"The {_words(test.measure)} should be a number, but is {test.lift}.")
    elif test.measure == "cost_per_target" and test.lift <= 0:
        problems.append(f"A cost per target should be above 0, but is {test.lift}.")
    if not (_usable(test.standard_error) and test.standard_error > 0):
        problems.append(f"The standard error should be above 0, but is {test.standard_error}.")
    if test.measure not in MEASURES:
        problems.append(f"measure should be one of {listing(MEASURES)}, but is {test.measure!r}.")
    problems += _change_problems(test)
    return problems


def _change_problems(test: LiftTest) -> list[str]:
    changes = test.changes
    if changes is None:
        if not test.recorded:
            return ["recorded=False needs spend_change, the change on top of the table's spend."]
        return []
    if len(changes) != len(test.channels):
        return [
            f"spend_change has {len(changes)} number(s) for {len(test.channels)} channel(s): give "
            "one per channel, in the same order."
        ]
    if not all(map(_usable, changes)):
        return [f"spend_change should be a number, but is {test.spend_change}."]
    if not np.any(changes):
        return ["spend_change is 0, so the test changes nothing."]
    if test.measure != "lift" and sum(changes) == 0:
        return [f"spend_change sums to 0, so a {_words(test.measure)} is undefined."]
    return []


def _usable(value: Any) -> bool:
    number = isinstance(value, int | float | np.number)
    return number and (value == 0 or 1 / LARGEST <= abs(value) <= LARGEST)


def _words(measure: str) -> str:
    return str(measure).replace("_", " ").replace("roas", "ROAS")


def to_json(tests: Sequence[LiftTest]) -> str:
    """Return tests as JSON, to be stored with a fit."""

    def plain(value: Any) -> Any:
        return value.isoformat() if hasattr(value, "isoformat") else value

    return json.dumps([{k: plain(v) for k, v in asdict(test).items()} for test in tests])


def from_json(text: str) -> tuple[LiftTest, ...]:
    """Read the JSON that :func:`to_json` returns."""
    return tuple(LiftTest(**record) for record in parse_json(text))


# --- Tables of tests -----------------------------------------------------------------------------


@named_arguments
def read_lift_tests(
    frame: pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    *,
    channels: Iterable[str] = (),
    geos: Iterable[str] = (),
    dates: Any = None,
) -> tuple[LiftTest, ...]:
    """Read lift tests from a table with one row per test, and report all problems at once.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``channel, start, end, lift, standard_error`` and optionally ``geo`` (several joined
        by ``|``, empty for all), ``spend_change`` (empty to compare with no spend),
        ``measured_until``, ``measure``, ``recorded`` and ``name``. Several channels are joined by
        ``|``, and so are their changes of spend.
    columns : mapping of str to str, optional
        Names of these columns in the table, where they differ.
    channels, geos : iterable of str
        Names in the model, to check against; empty for no check.
    dates : array of datetimes, optional
        Dates of the model; a test must contain at least one of them.

    Raises
    ------
    DataError
        Listing every problem of every row.
    """
    from mmm_bayes.data.frames import as_frame

    names = {name: (columns or {}).get(name, name) for name in _COLUMNS}
    frame = plain_frame(as_frame(frame))
    frame = frame.set_axis([str(c) for c in frame.columns], axis=1)
    present = list(frame.columns)
    twice = [column for column in names.values() if present.count(column) > 1]
    if twice:
        raise DataError(
            [
                Finding("duplicate_column", "error",
                        f"The table has {present.count(column)} columns named {column!r}.",
                        "Rename or drop all but one of them.", column)
                for column in twice
            ], "the lift tests",
        )  # fmt: skip
    frame = frame.loc[:, ~frame.columns.duplicated()]
    missing = [names[name] for name in _NEEDED if names[name] not in frame.columns]
    if missing:
        raise DataError(
            [
                Finding("column", "error", f"There is no column {column!r}.",
                        nearest(column, map(str, frame.columns)).strip() or "Map it with columns=.",
                        column)
                for column in missing
            ], "the lift tests",
        )  # fmt: skip
    frame, findings = _with_dates_read(frame, names)
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
        test = test.with_known_labels(tuple(channels), tuple(geos))
        findings += _against_model(test, row, tuple(channels), tuple(geos), dates)
        found.append(test)
    if findings:
        raise DataError(findings, "the lift tests")
    return tuple(found)


def _with_dates_read(
    frame: pd.DataFrame, names: Mapping[str, str]
) -> tuple[pd.DataFrame, list[Finding]]:
    """Replace columns of dates by timestamps; cells that are no dates stay as they are.

    Text of all columns is read in one form, since a file writes all its dates alike.
    """
    import pandas as pd

    columns = [names[key] for key in ("start", "end", "measured_until") if names[key] in frame]
    texts = [column for column in columns if frame[column].dtype.kind == "O"]
    findings: list[Finding] = []
    read = frame.copy()
    for group in ([texts] if texts else []) + [[c] for c in columns if c not in texts]:
        cells = frame[group[0]] if len(group) == 1 else pd.concat([frame[c] for c in group])
        parsed = parse_dates(cells, listing(group), regular=False)
        findings += [own for own in parsed.findings if own.check == "ambiguous_date"]
        days = parsed.values.to_numpy().reshape(len(group), len(frame))
        for column, own in zip(group, days, strict=True):
            known = pd.Series(own, frame.index)
            read[column] = known.astype("object").where(known.notna(), frame[column])
    return read, findings


def _read(values: Mapping[str, Any]) -> LiftTest:
    import pandas as pd

    def empty(value: Any) -> bool:
        return value is None or value == "" or bool(pd.isna(value))

    def parts(name: str) -> tuple[str, ...]:
        if empty(values[name]):
            return ()
        return tuple(part.strip() for part in label_text(values[name]).split("|") if part.strip())

    channels = parts("channel")
    changes = tuple(_number(part, "change of spend") for part in parts("spend_change"))
    until, measure = values["measured_until"], values["measure"]
    return LiftTest(
        channel=channels[0] if len(channels) == 1 else channels,
        start=values["start"],
        end=values["end"],
        lift=_number(values["lift"], "lift"),
        standard_error=_number(values["standard_error"], "standard error"),
        geos=parts("geo"),
        spend_change=(changes[0] if len(changes) == 1 else changes) if changes else None,
        name="" if empty(values["name"]) else label_text(values["name"]),
        measured_until=None if empty(until) else until,
        measure="lift" if empty(measure) else str(measure),  # type: ignore[arg-type]
        recorded=empty(values["recorded"]) or _truth(values["recorded"]),
    )


def _number(value: Any, label: str) -> float:
    number = to_float(value)
    if np.isnan(number):
        raise ValueError(f"The {label} should be a number, but is {cell_text(value)}.")
    return number


def _truth(value: Any) -> bool:
    word = str(value).strip().lower()
    if word in ("true", "yes", "1", "1.0"):
        return True
    if word in ("false", "no", "0", "0.0"):
        return False
    raise ValueError(f"recorded should be true or false, but is {value!r}.")


def _not_a_date(field: str, value: Any) -> str:
    years = f"{FIRST_DATE.year} to {LAST_DATE.year}"
    label = "end of the measurement" if field == "measured_until" else field
    return f"The {label} should be a date ({years}), but is {cell_text(value)}."


def _against_model(
    test: LiftTest, row: int, channels: Sequence[str], geos: Sequence[str], dates: Any
) -> list[Finding]:
    import pandas as pd

    findings = []
    for kind, names, known in (("channel", test.channels, channels), ("geo", test.geos, geos)):
        for name in names:
            if known and name not in known:
                hint = nearest(name, known).strip() or f"The model has {listing(known, 12)}."
                message = f"Row {row}: there is no {kind} {name!r}."
                findings.append(Finding(kind, "error", message, hint, rows=(row,)))
    if dates is not None:
        own = pd.DatetimeIndex(dates)
        step = infer_step(own)
        # Whether dates are first or last days is not known here: either may place the test.
        rows = (step.marked(marks).intervals(own) for marks in MARKS)
        if not any(share_within(days, test.start, test.end).any() for days in rows):
            message = (
                f"Row {row}: the model has no date from {test.start:%Y-%m-%d} to "
                f"{test.end:%Y-%m-%d}; it runs from {own.min():%Y-%m-%d} to {own.max():%Y-%m-%d}."
            )
            findings.append(Finding("dates", "error", message, "Correct the dates.", rows=(row,)))
    return findings
