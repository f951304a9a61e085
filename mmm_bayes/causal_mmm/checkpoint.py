"""What a training of CausalMMM depends on, for the folder that it is kept in."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import jax
import numpy as np

from mmm_bayes._typing import RngKey
from mmm_bayes._version import __version__
from mmm_bayes.causal_mmm.networks.training import Checkpoint
from mmm_bayes.causal_mmm.spec import CausalMMMSpec
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.streams import seed_in_words


def training_checkpoint(
    folder: str | os.PathLike[str] | None,
    every: int,
    rng_key: RngKey,
    spec: CausalMMMSpec,
    panel: ShopPanel,
    validation: ShopPanel | None,
) -> Checkpoint | None:
    """Checkpoint of a training, ``None`` without a folder.

    Settings of the model stand one by one, so that a refusal can name the one that differs.

    Raises
    ------
    ValueError
        If ``every`` is not positive.
    """
    if folder is None:
        return None
    settings: dict[str, Any] = {
        "panel": panel_digest(panel),
        "validation": None if validation is None else panel_digest(validation),
        "rng_key": f"{seed_in_words(rng_key)}, {jax.random.key_impl(rng_key)}",
        "version": __version__,
        "jax": jax.__version__,
    }
    settings |= {f"spec.{name}": value for name, value in spec.model_dump(mode="json").items()}
    return Checkpoint(folder, settings, every)


def panel_digest(panel: ShopPanel) -> str:
    """Hexadecimal name of what training sees of a panel: series, context, dates and labels."""
    found = hashlib.sha256(repr((panel.nodes, panel.shops, panel.context_names)).encode())
    arrays = [panel.series, panel.context]
    if panel.dates is not None:
        arrays.append(panel.dates.to_numpy())
    for array in arrays:
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:20]
