"""Estimate the memory that a fit needs from its shapes alone, without computing anything."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from mmm_bayes.inference.mcmc import SamplerSpec
from mmm_bayes.inference.memory import MemoryEstimate, available_memory
from mmm_bayes.inference.sharding import device_memory
from mmm_bayes.model.program import Program, batch_size
from mmm_bayes.model.structure import ModelArrays
from mmm_bayes.runtime.numbers import byte_size

SINGLE_PRECISION_ABOVE = 20_000_000
"""Number of elements above which a predictive group is stored in float32."""

# Upper bounds of the arrays (channel, geo, time) and (geo, time) alive in a gradient; tests compare
# them with compiled programs of national and geo models.
_MEDIA_COPIES, _ROW_COPIES = 12, 16
_PROGRAMS = 400 * 2**20  # compilers, compiled programs and libraries


def estimate_memory(
    program: Program,
    arrays: ModelArrays,
    sampler: SamplerSpec,
    num_prior_draws: int,
    mesh_shape: tuple[int, int] = (1, 1),
) -> MemoryEstimate:
    """Estimate the peak memory of a fit by NUTS.

    Parameters
    ----------
    program, arrays
        The program (nothing is compiled here) and the arrays conditioned on.
    sampler
        Number of draws and chains, and precision.
    num_prior_draws
        Draws of the prior kept with the fit.
    mesh_shape
        Numbers of devices along chains and along geos.
    """
    layout = program.layout(arrays)
    real = arrays.target.dtype.itemsize
    cells = arrays.target.size
    channels = arrays.media.shape[0]
    draws = sampler.num_chains * sampler.num_samples
    size = sum(int(np.prod(x.shape[1:])) for x in _parameters(program, arrays).values())
    row = _bytes_per_cell(draws * cells)
    data = sum(np.asarray(x).nbytes for x in jax.tree.leaves(arrays))
    along_chains, along_geos = mesh_shape
    together = -(-sampler.num_chains // along_chains)
    gradient = real * cells * (_MEDIA_COPIES * channels + _ROW_COPIES) // along_geos
    buffers = real * layout.dim * (2 * sampler.block + 40)
    batch = batch_size(arrays)
    host = {
        "programs and libraries": _PROGRAMS,
        "table as arrays": data,
        "draws of the sampler": sampler.num_chains
        * real
        * layout.dim
        * (sampler.num_samples + 2 * sampler.num_warmup),
        "parameters, scaled and in units of the table": 2 * draws * size * 8,
        "posterior predictive": draws * cells * row,
        "log likelihood": draws * cells * row,
        "prior and its predictions": num_prior_draws * (2 * size * 8 + 2 * cells * 8),
    }
    device = {
        "table on the device": data // along_geos,
        "chains that step together": together * (gradient + buffers),
        "a batch of predictions": batch * real * cells * (2 * channels + 6),
    }
    free = device_memory()
    # CPU devices share the memory of the machine, so splitting geos would save nothing.
    splits = free is not None and program.structure.num_geos > 1
    remedies = _remedies(
        sampler, host, device, along_geos if splits else None, num_prior_draws, real
    )
    return MemoryEstimate(host, device, available_memory(), free, remedies)


def result_bytes(sampler: SamplerSpec, cells: int, num_prior_draws: int) -> int:
    """Estimate the size of a saved fit with so many geos times dates.

    Predictions and log likelihoods are nearly all of it; they are stored as they are in memory.
    """
    draws = sampler.num_chains * sampler.num_samples
    return 2 * draws * cells * _bytes_per_cell(draws * cells) + 8 * num_prior_draws * cells


def _bytes_per_cell(elements: int) -> int:
    return 8 if elements <= SINGLE_PRECISION_ABOVE else 4


def _parameters(program: Program, arrays: ModelArrays) -> dict[str, Any]:
    from mmm_bayes.inference.tracing import tracing

    position = jax.ShapeDtypeStruct((1, program.layout(arrays).dim), arrays.target.dtype)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
    with tracing():
        return jax.eval_shape(
            jax.vmap(program.from_position, in_axes=(0, 0, None)), keys, position, arrays
        )


def _remedies(
    sampler: SamplerSpec,
    host: dict[str, int],
    device: dict[str, int],
    along_geos: int | None,
    num_prior_draws: int,
    real: int,
) -> tuple[str, ...]:
    by_draw = sum(
        host[name]
        for name in (
            "draws of the sampler",
            "parameters, scaled and in units of the table",
            "posterior predictive",
            "log likelihood",
        )
    )
    fewer = max(sampler.num_samples // 2, 4)
    sampling = device["chains that step together"]
    found = [(host["prior and its predictions"], f"num_prior_draws=0 (now {num_prior_draws})")]
    if fewer < sampler.num_samples:
        found.append((by_draw // 2, f"num_samples={fewer} (now {sampler.num_samples})"))
    if sampler.num_chains > 2:
        half = sampler.num_chains // 2
        text = f"num_chains={half} (now {sampler.num_chains}), if that is enough for R-hat"
        found.append(
            ((by_draw + sampling) * (sampler.num_chains - half) // sampler.num_chains, text)
        )
    if along_geos is not None:
        text = f"geo_devices={2 * along_geos}, which spreads the geos over more devices"
        found.append(((sampling + device["table on the device"]) // 2, text))
    if real == 8:
        found.append(((sampling + device["table on the device"]) // 2, 'precision="float32"'))
    found.append((device["table on the device"] // 2, "a smaller max_lag, or fewer dates"))
    return tuple(
        f"{text}: saves {byte_size(saved)}"
        for saved, text in sorted(found, key=lambda x: -x[0])
        if saved
    )
