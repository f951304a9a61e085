"""The sampler of a model can be lowered for CPUs, GPUs and TPUs."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax import export

from mmm_bayes import MMM, ModelSpec, simulate
from mmm_bayes.inference.tracing import tracing

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("geos", [1, 3])
def test_sampler_lowers_for_every_platform(geos: int, precision: str):
    spec = ModelSpec(media={"max_lag": 4}, sampler={"precision": precision})
    data = simulate.mmm(jax.random.key(0), num_dates=30, num_geos=geos, num_channels=2).data
    with jax.enable_x64(precision == "float64"), tracing():
        model = MMM(data, spec)
        program, arrays = model.program(), model.arrays()
        assert arrays.target.dtype == np.dtype(precision)
        sampler = program.sampler(arrays)
        block = jax.jit(sampler.function(5, together=True))
        # A checked custom call is one that other versions of the runtime may not have.
        lowered = export.export(
            block,
            platforms=PLATFORMS,
            disabled_checks=[
                export.DisabledSafetyCheck.custom_call(name) for name in _LINEAR_ALGEBRA
            ],
        )(*sampler.example(arrays, np.dtype(precision), chains=2))
        assert lowered.platforms == PLATFORMS
        value = export.export(jax.jit(jax.value_and_grad(program.potential)), platforms=PLATFORMS)(
            jax.ShapeDtypeStruct((sampler.dim,), precision), arrays
        )
        assert value.platforms == PLATFORMS
        for name, dtype in zip(("density", "gradient"), value.out_avals, strict=True):
            assert dtype.dtype == np.dtype(precision), name


_LINEAR_ALGEBRA: tuple[str, ...] = ()


def test_single_precision_gives_nearly_the_same_result():
    spec = ModelSpec(media={"max_lag": 4})
    data = simulate.mmm(jax.random.key(3), num_dates=156, num_geos=20, num_channels=3).data
    found = {}
    for precision in ("float64", "float32"):
        model = MMM(data, spec.evolve(sampler={"precision": precision}))
        with jax.enable_x64(precision == "float64"):
            program, arrays = model.program(), model.arrays()
            rng, layout = np.random.default_rng(0), program.layout(arrays)
            starts = np.stack([layout.start(rng, 0.5) for _ in range(10)]).astype(precision)
            density = jax.jit(jax.vmap(program.potential, in_axes=(0, None)))
            found[precision] = np.asarray(density(starts, arrays), float)
    gap = np.abs(found["float32"] - found["float64"]).max()
    assert 0.0 < gap < 0.1
