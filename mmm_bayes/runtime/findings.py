"""What the checks of a table report, and the exception and warning that carry it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or suspicious, in a table.

    Attributes
    ----------
    check : str
        Stable name of the check, e.g. ``"missing_value"``.
    severity : {"error", "warning"}
        An error stops the load; a warning does not.
    message : str
        What was expected and what came.
    remedy : str
        The usual way out.
    column : str or None
        Column (or argument) concerned.
    rows : tuple of int
        Row positions in the table as it was given, counted from 0 (``df.iloc[row]``).
    dates : tuple of str
        ISO dates concerned.
    geo : str or None
        Geo concerned, when there is one.
    """

    check: str
    severity: Severity
    message: str
    remedy: str
    column: str | None = None
    rows: tuple[int, ...] = ()
    dates: tuple[str, ...] = ()
    geo: str | None = None

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"


class DataError(ValueError):
    """A table cannot be used; ``findings`` lists every reason, ``str()`` is a numbered list."""

    def __init__(self, findings: Iterable[Finding], source: str = "the table") -> None:
        self.findings: tuple[Finding, ...] = tuple(findings)
        self.source = source
        errors = [f for f in self.findings if f.severity == "error"]
        warnings = [f for f in self.findings if f.severity == "warning"]
        count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
        text = f"{count} in {source}:\n" + numbered(errors)
        if warnings:
            text += "\nAlso worth a look:\n" + numbered(warnings)
        super().__init__(text)

    def __reduce__(self) -> tuple[type[DataError], tuple[tuple[Finding, ...], str]]:
        # The default would rebuild the exception from its text, which breaks pickling to workers.
        return type(self), (self.findings, self.source)


class DataWarning(UserWarning):
    """A table can be used, but something in it deserves a look."""


def numbered(findings: Sequence[Finding]) -> str:
    """Write findings as a numbered list, one a line."""
    return "\n".join(f"  {i}. {finding}" for i, finding in enumerate(findings, start=1))


def listing(items: Iterable[object], limit: int = 5) -> str:
    """Join items with commas; beyond ``limit`` of them say only how many more there are."""
    texts = [str(item) for item in items]
    more = len(texts) - limit
    return ", ".join(texts[:limit]) + (f" and {more} more" if more > 0 else "")


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest candidate, or an empty string."""
    options = [str(c) for c in candidates]
    lowered = {c.lower(): c for c in reversed(options)}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return f" Did you mean {lowered[close[0]]!r}?" if close else ""
