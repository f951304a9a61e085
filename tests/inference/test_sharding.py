"""Chains and geos over devices and processes: the draws of one device."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from mmm_bayes.inference.sharding import chain_mesh, chosen_devices
from tests.inference import sharded_runs

LAYOUTS = (None, 2, 4)


def start(devices: int, *arguments: str) -> subprocess.Popen[str]:
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.inference.sharded_runs", *arguments],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def ended(process: subprocess.Popen[str]) -> None:
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    path = tmp_path_factory.mktemp("four") / "draws.npz"
    ended(start(4, str(path)))
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_four_devices_give_the_draws_of_one(four: dict[str, np.ndarray], layout: int | None):
    assert four["devices"] == 4
    # Sums over geos are taken in another order, and trajectories magnify the last digit.
    np.testing.assert_allclose(four[f"positions {layout}"], four["one"], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(sharded_runs.run("one").positions, four["one"], rtol=1e-6, atol=1e-8)


def test_two_processes_give_the_draws_of_one(four: dict[str, np.ndarray], tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    paths = [tmp_path / f"{number}.npz" for number in range(2)]
    both = [start(2, str(path), str(number), port) for number, path in enumerate(paths)]
    for process in both:
        ended(process)
    found = [np.load(path) for path in paths]
    for layout in (None, 4):
        name = f"positions {layout}"
        np.testing.assert_array_equal(found[0][name], found[1][name])
        np.testing.assert_allclose(found[0][name], four["one"], rtol=1e-6, atol=1e-8)
    # Both go on from the last part that both have: four blocks.
    for each in found:
        assert each["devices"] == 4
        np.testing.assert_array_equal(each["resumed"], found[0]["positions None"])
        assert 0.0 < each["share"] < 1.0
    assert found[0]["share"] == found[1]["share"]


def test_one_device_stands_for_all_of_one():
    mesh = chain_mesh("all", 4, 3)
    assert mesh.shape == (1, 1)
    assert mesh.local_chains == (0, 1, 2, 3)
    values = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(mesh.read_chains(mesh.put_chains(values)), values)


def test_choices_of_devices():
    assert chosen_devices(None) == (jax.devices()[0],)
    assert chosen_devices(jax.devices()) == tuple(jax.devices())
    for wrong, text in ((0, "sees 1"), (2, "xla_force_host"), ("some", "'all'"), ([], "once")):
        with pytest.raises(ValueError, match=text):
            chosen_devices(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="should divide"):
        chain_mesh(1, 4, 3, geo_devices=2)


class Device:
    """As much of a device as a mesh is laid out by."""

    def __init__(self, number: int, process: int) -> None:
        self.id, self.process_index = number, process


@pytest.mark.parametrize(
    ("devices", "chains", "geos", "shape"),
    [
        (4, 4, 10, (4, 1)),
        (8, 4, 10, (4, 2)),
        (8, 4, 9, (4, 1)),
        (6, 4, 9, (2, 3)),
        (3, 4, 1, (1, 1)),
    ],
)
def test_chains_come_first_then_geos(
    monkeypatch: pytest.MonkeyPatch, devices: int, chains: int, geos: int, shape: tuple[int, int]
):
    from mmm_bayes.inference import sharding

    made = [Device(number, 0) for number in range(devices)]
    monkeypatch.setattr(sharding, "Mesh", lambda used, axes: used)
    assert chain_mesh(made, chains, geos).mesh.shape == shape  # type: ignore[arg-type]
    # The last device is of another process, which has nothing to do where devices are left over.
    made[-1].process_index = 1
    if shape[0] * shape[1] < devices:
        with pytest.raises(ValueError, match="process 1 would have no work"):
            chain_mesh(made, chains, geos)  # type: ignore[arg-type]
