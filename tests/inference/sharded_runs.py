"""Run in processes of their own by the tests of sharding: devices are chosen before JAX starts.

The density has one value a geo, and a sum over geos, as the models have.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from mmm_bayes.inference.checkpoint import Checkpoint
from mmm_bayes.inference.mcmc import NUTSProgram, SamplerSpec, sample
from mmm_bayes.inference.sharding import chain_mesh

DIM, GEOS = 3, 4
SPEC = SamplerSpec(num_warmup=100, num_samples=60, num_chains=4, block=20)


def potential(x: Any, data: Any) -> Any:
    each = jnp.sum((x[:, None] - data.T) ** 2, 0)
    return 0.5 * jnp.sum(each) + 0.1 * jnp.sum(x**4)


def propose(rng: np.random.Generator, spread: float) -> Any:
    return spread * rng.normal(size=DIM)


PROGRAM = NUTSProgram(potential, DIM)


def run(layout: int | str | None, folder: str = "") -> Any:
    """Draws with this ``geo_devices``; ``"one"`` is a device, chains in threads."""
    data = np.linspace(-1.0, 1.0, GEOS * DIM).reshape(GEOS, DIM)
    mesh = None if layout == "one" else chain_mesh("all", SPEC.num_chains, GEOS, layout)
    with jax.enable_x64(True):
        given = (jax.random.key(5), PROGRAM, data, propose, SPEC)
        options = {"mesh": mesh, "data_specs": PartitionSpec("geo")}
        if not folder:
            return sample(*given, **options)
        with Checkpoint(folder, draws=1).open({}) as checkpoint:
            return sample(*given, **options, checkpoint=checkpoint)


def main(out: str, number: str = "", port: str = "") -> None:
    if number:
        jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=int(number))
    found = {"devices": np.asarray(len(jax.devices()))}
    for layout in (None, 4) if number else (None, 2, 4):
        found[f"positions {layout}"] = run(layout).positions
    if number:
        folder = str(Path(out).parent / f"checkpoint_{number}")
        run(None, folder)
        parts = sorted(Path(folder).glob("*.npz"))
        # One process had written more than the other when both were killed.
        for part in parts[4 + int(number) :]:
            part.unlink()
        again = run(None, folder)
        found["resumed"], found["share"] = again.positions, np.asarray(again.resumed)
    else:
        found["one"] = run("one").positions
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
