"""The estimated memory of a fit, compared with the memory of its programs and results."""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest

from mmm_bayes import MMM, MMMData, ModelSpec, simulate
from mmm_bayes.errors import FitMemoryError
from mmm_bayes.inference import memory
from mmm_bayes.model import memory as model_memory

SPEC = ModelSpec(media={"max_lag": 6})
FEW = {"num_warmup": 40, "num_samples": 20, "num_chains": 2}


@pytest.fixture(scope="module")
def geo() -> MMMData:
    return simulate.mmm(jax.random.key(0), num_dates=120, num_geos=6, num_channels=3).data


@pytest.mark.parametrize("geos", [1, 6])
def test_a_gradient_takes_no_more_memory_than_estimated(geos: int):
    data = simulate.mmm(jax.random.key(0), num_dates=300, num_geos=geos, num_channels=4).data
    model = MMM(data, SPEC)
    with jax.enable_x64(True):
        program, arrays = model.program(), model.arrays()
        position = jax.ShapeDtypeStruct((program.layout(arrays).dim,), np.float64)
        compiled = jax.jit(jax.value_and_grad(program.potential)).lower(position, arrays).compile()
    taken = compiled.memory_analysis().temp_size_in_bytes
    cells, channels = arrays.target.size, arrays.media.shape[0]
    media, rows = model_memory._MEDIA_COPIES, model_memory._ROW_COPIES
    said = 8 * cells * (media * channels + rows)
    assert taken <= said
    assert said <= 6 * taken


def test_groups_take_the_memory_estimated(geo: MMMData):
    model = MMM(geo, SPEC)
    said = model.memory(num_prior_draws=30, **FEW)
    fit = model.fit(jax.random.key(0), progress=False, num_prior_draws=30, **FEW)
    tree = fit.tree
    for name, group in (("posterior predictive", "posterior_predictive"),
                        ("log likelihood", "log_likelihood")):  # fmt: skip
        assert said.host[name] == tree[group]["target"].nbytes
    values = sum(value.nbytes for value in tree["posterior"].data_vars.values())
    assert values <= said.host["parameters, scaled and in units of the table"] <= 3 * values
    prior = sum(tree[g][v].nbytes for g in ("prior", "prior_predictive") for v in tree[g].data_vars)
    assert prior <= said.host["prior and its predictions"] <= 3 * prior
    assert said.fits
    assert "posterior predictive" in str(said)


def test_too_little_memory_is_reported_before_sampling(
    geo: MMMData, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(model_memory, "available_memory", lambda: 500 * 2**20)
    settings = {"num_samples": 40_000, "num_chains": 4}
    with pytest.raises(FitMemoryError) as found:
        MMM(geo, SPEC).fit(jax.random.key(0), progress=False, **settings)
    text = str(found.value)
    assert re.search(r"about [\d.]+ GiB of 500\.0 MiB", text)
    assert "1. num_samples=20000 (now 40000)" in text or "1. num_chains=2 (now 4)" in text
    assert "preflight=False" in text
    # The remedy saves what it says.
    half = MMM(geo, SPEC).memory(num_samples=20_000, num_chains=4).host_bytes
    whole = MMM(geo, SPEC).memory(**settings).host_bytes
    said = re.search(r"num_samples=20000 \(now 40000\)\D*([\d.]+) (GiB|MiB)", text)
    assert said is not None
    unit = {"GiB": 2**30, "MiB": 2**20}[said[2]]
    # Past so many elements they are kept in single precision, which a half may be below.
    assert whole - half <= float(said[1]) * unit * 1.1


def test_a_container_s_limit_counts(tmp_path, monkeypatch: pytest.MonkeyPatch):
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(memory, "_CGROUPS", ((str(limit), str(used)),))
    limit.write_text("max\n")
    used.write_text("1000\n")
    free = memory.available_memory()
    assert free > 10 * 2**20
    limit.write_text(f"{2**20}\n")
    assert memory.available_memory() == 2**20 - 1000
    (tmp_path / "memory.stat").write_text("inactive_file 500\nactive_file 100\nanon 7\n")
    assert memory.available_memory() == 2**20 - 400


def test_devices_share_what_is_split(geo: MMMData):
    model = MMM(geo, SPEC)
    with jax.enable_x64(True):
        given = model.program(), model.arrays(), model.spec.sampler, 500
        one = model_memory.estimate_memory(*given)
        split = model_memory.estimate_memory(*given, (2, 3))
    assert split.device["table on the device"] == one.device["table on the device"] // 3
    assert split.device_bytes < one.device_bytes
    assert split.host == one.host
