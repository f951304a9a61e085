"""Digests that identify tables by their content."""

from __future__ import annotations

import hashlib

import numpy as np

from mmm_bayes.data.media_scale import REFERENCE
from mmm_bayes.data.schema import MMMData


def table_digest(data: MMMData) -> str:
    """Return a hexadecimal digest of a table's values and labels."""
    found = hashlib.sha256(f"{data.channels}{data.controls}{data.geos}".encode())
    found.update(data.dates.asi8.tobytes())
    for name in ("target", "spend", "exposure", "controls", "population", "revenue_per_target"):
        found.update(np.ascontiguousarray(data.ds[name].values).tobytes())
    found.update(data.ds.attrs.get(REFERENCE, "").encode())
    return found.hexdigest()[:20]
