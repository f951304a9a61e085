"""The scale of each channel's exposure, also of channels that are not on yet."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from mmm_bayes.runtime.findings import Finding

NDArray = np.ndarray[Any, Any]

REFERENCE = "media_reference"
"""Attribute of a dataset: scales of channels that are on only in rows that were left out."""


def media_scale(ds: xr.Dataset) -> NDArray:
    """Return the mean of positive exposure per head of each channel.

    A channel that is 0 in every row has the scale of the table that the rows were taken from (see
    `keep_reference`), or 1 if there is none.
    """
    exposure = ds["exposure"].values / ds["population"].values[:, None, None]
    positive = (exposure > 0).sum((0, 1))
    known = json.loads(ds.attrs.get(REFERENCE, "{}"))
    reference = np.array([known.get(str(name), 1.0) for name in ds["channel"].values])
    return np.where(positive > 0, exposure.sum((0, 1)) / np.maximum(positive, 1), reference)


def keep_reference(whole: xr.Dataset, part: xr.Dataset) -> xr.Dataset:
    """Let some rows of a table remember the scale of channels that are on in other rows only."""
    known = json.loads(whole.attrs.get(REFERENCE, "{}"))
    on = _is_on(whole)
    scales = media_scale(whole)
    off = np.flatnonzero(~_is_on(part))
    names = [str(name) for name in part["channel"].values]
    kept = {names[c]: float(scales[c]) for c in off if on[c] or names[c] in known}
    result = part.copy()
    result.attrs.pop(REFERENCE, None)
    return result.assign_attrs({REFERENCE: json.dumps(kept)}) if kept else result


def _is_on(ds: xr.Dataset) -> NDArray:
    return np.asarray((ds["exposure"].values > 0).any((0, 1)))


def check_never_on(ds: xr.Dataset) -> list[Finding]:
    """Find channels that are 0 in every row, whose effect the rows say nothing about."""
    known = json.loads(ds.attrs.get(REFERENCE, "{}"))
    findings = []
    for c in np.flatnonzero(~_is_on(ds)):
        name = str(ds["channel"].values[c])
        message = f"Channel {name!r} is 0 in every row, so its effect comes from its prior alone."
        if name in known:
            per_head = " per head" if ds.attrs.get("has_population") else ""
            message += (
                f" The prior refers to an exposure of {known[name]:,.6g}{per_head} per date, the "
                "mean where the channel is on in the table that these rows were taken from."
            )
            remedy = "Leave the channel out, or state its prior, or use rows in which it is on."
            findings.append(Finding("never_on", "warning", message, remedy, name))
        else:
            message += " Nothing is known of the size of its spend, which the prior refers to."
            remedy = (
                "Leave it out of channels, or load the whole table and take these rows with "
                "data.subset(...), which keeps the scale of its later spend."
            )
            findings.append(Finding("never_on", "error", message, remedy, name))
    return findings
