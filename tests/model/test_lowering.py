"""The sampler of a model lowers for CPUs, GPUs and TPUs: density, gradient and trajectory."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax import export

from mmm_bayes import MMM, ModelSpec, simulate_mmm
from mmm_bayes.inference.tracing import tracing

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("geos", [1, 3])
def test_sampler_lowers_for_every_platform(geos: int, precision: str):
    spec = ModelSpec(media={"max_lag": 4}, sampler={"precision": precision})
    data = simulate_mmm(jax.random.key(0), n_dates=30, n_geos=geos, n_channels=2).data
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
