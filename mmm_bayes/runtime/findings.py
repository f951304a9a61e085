"""Findings of checks, and the exception and the warning that carry them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mmm_bayes.runtime.visible import shown_safely, visible, visible_text
from mmm_bayes.runtime.warn import warn_user

Severity = Literal["error", "warning", "note"]

_RANK: dict[str, int] = {"error": 0, "warning": 1, "note": 2}
_OLD_SEVERITIES = {"fail": "error", "review": "warning"}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or suspicious, in a table, a graph, a setting or a fit.

    Attributes
    ----------
    check : str
        Stable name of the check, e.g. ``"missing_value"`` or ``"rhat"``.
    severity : {"error", "warning", "note"}
        An error stops a load, and makes the verdict on a fit ``"FAIL"``. A warning deserves a look
        (``"REVIEW"``). A note is good to know, and no reason to doubt the result.
    message : str
        What is wrong, and what was expected.
    remedy : str
        What to do about it.
    where : str or None
        The column, argument, node, parameter (``"alpha[tv]"``), chain or channel concerned.
    rows : tuple of int
        Row positions in the table as it was given, counted from 0 (``df.iloc[row]``).
    dates : tuple of str
        ISO dates concerned.
    geo : str or None
        Geo concerned, when there is one.
    value, threshold : float or None
        What was measured, and the limit that it crossed.

    Raises
    ------
    ValueError
        If the severity is none of these.
    """

    check: str
    severity: Severity
    message: str
    remedy: str = ""
    where: str | None = None
    rows: tuple[int, ...] = ()
    dates: tuple[str, ...] = ()
    geo: str | None = None
    value: float | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.severity not in get_args(Severity):
            raise ValueError(
                f"severity of finding {self.check!r} is {self.severity!r}; "
                "expected 'error', 'warning' or 'note'"
            )
        object.__setattr__(self, "severity", _SeverityName(self.severity))

    @shown_safely
    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()

    @property
    def column(self) -> str | None:
        """Deprecated name of ``where``."""
        _warn_renamed("Finding.column", "Finding.where")
        return self.where

    @property
    def subject(self) -> str | None:
        """Deprecated name of ``where``."""
        _warn_renamed("Finding.subject", "Finding.where")
        return self.where

    @property
    def advice(self) -> str:
        """Deprecated name of ``remedy``."""
        _warn_renamed("Finding.advice", "Finding.remedy")
        return self.remedy


class _SeverityName(str):
    """A severity that still equals the name which findings about fits had before."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: Any) -> bool:
        if isinstance(other, str) and other in _OLD_SEVERITIES:
            _warn_renamed(f"severity {other!r}", repr(_OLD_SEVERITIES[other]))
            other = _OLD_SEVERITIES[other]
        return str.__eq__(self, other)

    def __ne__(self, other: Any) -> bool:
        return not self == other


def _warn_renamed(old: str, new: str) -> None:
    # Written here because mmm_bayes.runtime.deprecation imports from this module.
    warn_user(
        f"{old} is deprecated and will be removed in the next version: use {new}.",
        DeprecationWarning,
    )


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings, the most serious first; equally serious ones keep their order."""
    return tuple(sorted(findings, key=lambda finding: _RANK[finding.severity]))


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
        super().__init__(visible_text(text))

    def __reduce__(self) -> tuple[type[DataError], tuple[tuple[Finding, ...], str]]:
        # The default would rebuild the exception from its text, which breaks pickling to workers.
        return type(self), (self.findings, self.source)


class DataWarning(UserWarning):
    """A table can be used, but something in it deserves a look."""


def numbered(findings: Sequence[Finding]) -> str:
    """Write findings as a numbered list, one per line."""
    return "\n".join(f"  {i}. {finding}" for i, finding in enumerate(findings, start=1))


def listing(items: Iterable[object], limit: int = 5) -> str:
    """Join items with commas; beyond ``limit`` of them, say only how many more there are."""
    texts = [visible(item) for item in items]
    more = len(texts) - limit
    return ", ".join(texts[:limit]) + (f" and {more} more" if more > 0 else "")


def nearest(name: object, candidates: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest candidate, or an empty string."""
    options = [str(c) for c in candidates]
    lowered = {c.lower(): c for c in reversed(options)}
    close = difflib.get_close_matches(str(name).lower(), list(lowered), n=1, cutoff=0.6)
    return f" Did you mean {lowered[close[0]]!r}?" if close else ""
