"""The roles of a table's columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd

from mmm_bayes.data.cell_values import to_float
from mmm_bayes.data.labels import label_text
from mmm_bayes.data.text_format import TextSettings
from mmm_bayes.runtime.findings import Finding, listing, nearest

Channels = Sequence[str] | Mapping[str, str]
Spend = Sequence[str | None] | Mapping[str, str | None] | None


@dataclass(frozen=True)
class Roles:
    """Column names by role.

    Attributes
    ----------
    date, target, geo : str or None
        Columns; ``target`` is None for a table of future dates only, ``geo`` for national data.
    exposure : dict of str to str
        Column of media units for each channel name.
    spend : dict of str to (str or None)
        Column of spend for each channel name; None for unpaid (organic) media.
    controls : dict of str to str
        Column for each control name.
    population : str, dict of str to float, or None
        Column, or a number for each geo.
    revenue_per_target : str, float, or None
        Column, or one number for all rows; None if the target is already revenue.
    """

    date: str
    target: str | None
    exposure: dict[str, str]
    spend: dict[str, str | None]
    controls: dict[str, str] = field(default_factory=dict)
    geo: str | None = None
    population: str | dict[str, float] | None = None
    revenue_per_target: str | float | None = None

    def columns(self) -> Iterator[tuple[str, str]]:
        """Yield ``(role, column)`` for every role that names a column."""
        yield "date", self.date
        if self.geo is not None:
            yield "geo", self.geo
        yield from self.numeric_columns()

    def numeric_columns(self) -> Iterator[tuple[str, str]]:
        """Yield ``(role, column)`` for the columns that hold numbers."""
        if self.target is not None:
            yield "target", self.target
        for name, column in self.exposure.items():
            yield f"channel {name!r}", column
        for name, spend in self.spend.items():
            if spend is not None and spend != self.exposure.get(name):
                yield f"spend of {name!r}", spend
        for name, column in self.controls.items():
            yield f"control {name!r}", column
        if isinstance(self.population, str):
            yield "population", self.population
        if isinstance(self.revenue_per_target, str):
            yield "revenue_per_target", self.revenue_per_target

    def to_json(self) -> str:
        """Return the roles as JSON, for the attributes of the dataset."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Roles:
        """Read the JSON that `to_json` returns."""
        return cls(**json.loads(text))


class RoleSettings(TypedDict, total=False):
    """Arguments of ``MMMData.from_dataframe``."""

    date: str
    target: str | None
    channels: Channels
    spend: Spend
    controls: Channels | None
    geo: str | None
    population: str | Mapping[str, float] | pd.Series | None
    revenue_per_target: str | float | None
    date_marks: Literal["start", "end"] | None
    min_rows: int | None


class FileRoleSettings(RoleSettings, TextSettings, total=False):
    """Arguments of a file, which may be long, and written in several ways."""

    variable: str | None
    value: str | None


def make_roles(
    *,
    date: str,
    target: str | None,
    channels: Channels,
    spend: Spend = None,
    controls: Channels | None = (),
    geo: str | None = None,
    population: str | Mapping[str, float] | pd.Series | None = None,
    revenue_per_target: str | float | None = None,
) -> tuple[Roles, list[Finding]]:
    """Normalise the arguments of the loaders, with findings on those that are wrong."""
    findings: list[Finding] = []
    exposure = _named(channels, "channels", findings)
    if not exposure and not findings:
        findings.append(
            Finding(
                "no_channels",
                "error",
                "No media channel was given; at least one is needed.",
                "Give channels=[...], the columns of media units or spend.",
                where="channels",
            )
        )
    people: str | dict[str, float] | None = None
    if isinstance(population, str):
        people = population
    elif isinstance(population, Mapping | pd.Series):
        people = {label_text(k): to_float(v) for k, v in population.items()}
    elif population is not None:
        findings.append(
            _wrong_type("population", population, "a column, or a dict or Series of numbers by geo")
        )
    if revenue_per_target is not None and not isinstance(revenue_per_target, str):
        revenue_per_target = to_float(revenue_per_target)
    roles = Roles(
        date=_column(date, "date", findings) or "",
        target=_column(target, "target", findings),
        exposure=exposure,
        spend=_spend(spend, exposure, findings),
        controls=_named(controls, "controls", findings),
        geo=_column(geo, "geo", findings),
        population=people,
        revenue_per_target=revenue_per_target,
    )
    for kind, names in (("channel", roles.exposure), ("control", roles.controls)):
        odd = [name for name in names if not name.strip() or "\x00" in name]
        if odd:
            findings.append(
                Finding(
                    "bad_name",
                    "error",
                    f"A {kind} cannot be named {odd[0]!r}.",
                    "Give it another name with a dict {name: column}.",
                    where=odd[0],
                )
            )
    shared = [name for name in roles.controls if name in roles.exposure]
    if shared:
        findings.append(
            Finding(
                "same_name",
                "error",
                f"{listing(map(repr, shared))} is both a channel and a control.",
                "Keep it in one of the two, or give it another name with a dict {name: column}.",
                where=shared[0],
            )
        )
    return roles, findings


def _wrong_type(argument: str, value: object, expected: str, remedy: str = "") -> Finding:
    message = f"{argument} should be {expected}, but is {value!r:.80}."
    return Finding("argument_type", "error", message, remedy, argument)


def _column(value: Any, argument: str, findings: list[Finding]) -> str | None:
    """Return the name of one column; a label that is a number is read as text."""
    if value is None and argument != "date":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return str(value)
    remedy = ""
    if isinstance(value, list | tuple) and len(value) == 1:
        remedy = f"Write {argument}={value[0]!r}."
    elif isinstance(value, list | tuple) and all(isinstance(own, str) for own in value):
        joined = " + ' ' + ".join(f"df[{own!r}].astype(str)" for own in value)
        remedy = f"Join them in one column first: df[{argument!r}] = {joined}."
    findings.append(_wrong_type(argument, value, "the name of one column", remedy))
    return None


def _named(columns: Any, argument: str, findings: list[Finding]) -> dict[str, str]:
    if columns is None:
        return {}
    if isinstance(columns, str):
        # A single string would otherwise be read letter by letter.
        columns = [columns]
    expected = "a list of columns, or a dict {name: column}"
    if not isinstance(columns, Iterable) or isinstance(columns, bytes | pd.DataFrame):
        findings.append(_wrong_type(argument, columns, expected))
        return {}
    columns = columns if isinstance(columns, Mapping) else list(columns)
    own = list(columns.values()) if isinstance(columns, Mapping) else columns
    if odd := [column for column in own if not isinstance(column, str | int | float | np.number)]:
        findings.append(_wrong_type(argument, odd[0], f"{expected}; one of its entries"))
        return {}
    if isinstance(columns, Mapping):
        return {str(name): str(column) for name, column in columns.items()}
    names = [str(column) for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        findings.append(
            Finding(
                "named_twice",
                "error",
                f"{argument} names {listing(map(repr, twice))} more than once.",
                f"Name each column once in {argument}.",
                where=twice[0],
            )
        )
    return {name: name for name in names}


def _spend(
    spend: Spend, exposure: Mapping[str, str], findings: list[Finding]
) -> dict[str, str | None]:
    if spend is None:
        return dict(exposure)
    if isinstance(spend, str):
        spend = [spend]
    if isinstance(spend, Mapping):
        return _spend_by_name(spend, exposure, findings)
    if not isinstance(spend, Iterable):
        expected = "a list of columns, or a dict {channel: column}"
        findings.append(_wrong_type("spend", spend, expected))
        return dict(exposure)
    columns = list(spend)
    if len(columns) != len(exposure):
        findings.append(
            Finding(
                "spend_length",
                "error",
                f"spend has {len(columns)} column(s) for {len(exposure)} channel(s); it should "
                "have one for each channel, in the same order.",
                "Or give a dict {channel: spend column}, with None for unpaid media.",
                where="spend",
            )
        )
    padded = columns + [None] * len(exposure)
    return {name: _or_none(column) for name, column in zip(exposure, padded, strict=False)}


def _spend_by_name(
    spend: Mapping[str, str | None], exposure: Mapping[str, str], findings: list[Finding]
) -> dict[str, str | None]:
    # A key may be the channel's name or its exposure column.
    named = {column: name for name, column in exposure.items()} | {name: name for name in exposure}
    found: dict[str, str | None] = {}
    known = len(findings)
    for key, column in spend.items():
        if key in named:
            found[named[key]] = _or_none(column)
            continue
        findings.append(
            Finding(
                "unknown_channel",
                "error",
                f"spend names {key!r}, which is not a channel.{nearest(str(key), exposure)}",
                f"The channels are {listing(map(repr, exposure), 12)}.",
                where=str(key),
            )
        )
    without = [name for name in exposure if name not in found]
    # Report a misspelt channel once, and not again as a channel without spend.
    if without and len(findings) == known:
        findings.append(
            Finding(
                "no_spend",
                "error",
                f"spend has no entry for {listing(map(repr, without))}.",
                "Add its spend column, or None if the channel is unpaid (organic).",
                where=without[0],
            )
        )
    return {name: found.get(name) for name in exposure}


def _or_none(column: Any) -> str | None:
    # TOML has no null, so there an empty string means "unpaid".
    return None if column is None or column == "" else str(column)
