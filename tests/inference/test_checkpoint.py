"""Sampling that is stopped: it goes on to the same draws, or gives those it made."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmm_bayes.inference.checkpoint import Checkpoint, SamplingWarning
from mmm_bayes.inference.mcmc import Draws, NUTSProgram, SamplerSpec, sample
from mmm_bayes.runtime import atomic_write as atomic_write_module
from mmm_bayes.runtime.progress import Silent
from mmm_bayes.runtime.run_folder import RunFolderError

DIM = 4
SETTINGS = {"model": "test"}
SPEC = SamplerSpec(num_warmup=120, num_samples=130, num_chains=3, block=20)


def potential(x: Any, data: Any) -> Any:
    return 0.5 * jnp.sum((x - data) ** 2 * jnp.arange(1.0, DIM + 1))


def propose(rng: np.random.Generator, spread: float) -> Any:
    return spread * rng.normal(size=DIM)


PROGRAM = NUTSProgram(potential, DIM)


class Stopped(Exception):
    """What stops a run in these tests."""


class StopsAt(Silent):
    """Does something once so many blocks have been reported."""

    def __init__(self, blocks: int, does: Any) -> None:
        self.left, self.does = blocks, does

    def update(self, index: int, done: int, note: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            self.does()


def run(
    folder: Path | None,
    progress: Any = None,
    spec: SamplerSpec = SPEC,
    seed: int = 3,
    draws: int = 1,
) -> Draws:
    data = np.arange(DIM, dtype=float)
    with jax.enable_x64(True):
        given = (jax.random.key(seed), PROGRAM, data, propose, spec, progress)
        if folder is None:
            return sample(*given)
        with Checkpoint(folder, draws=draws).open(SETTINGS) as checkpoint:
            return sample(*given, checkpoint=checkpoint)


def fail() -> None:
    raise Stopped


@pytest.fixture(scope="module", params=["threads", "vectorized"])
def spec(request: pytest.FixtureRequest) -> SamplerSpec:
    return SPEC.model_copy(update={"chain_method": request.param})


@pytest.fixture(scope="module")
def whole(spec: SamplerSpec) -> Draws:
    return run(None, spec=spec)


def same(one: Draws, other: Draws) -> None:
    np.testing.assert_array_equal(one.positions, other.positions)
    np.testing.assert_array_equal(one.warmup_steps, other.warmup_steps)
    for mine, theirs in zip(one.info, other.info, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("seed", range(20))
def test_stopped_runs_go_on_to_the_same_draws(
    spec: SamplerSpec, whole: Draws, tmp_path: Path, seed: int
):
    rng = np.random.default_rng(seed)
    every = int(rng.integers(1, 90))
    stops = 0
    while True:
        # Some stop at their first block, some not at all, some again and again.
        try:
            found = run(tmp_path, StopsAt(int(rng.integers(1, 30)), fail), spec, draws=every)
        except Stopped:
            stops += 1
            assert stops < 60
            continue
        break
    same(found, whole)


def test_a_complete_run_makes_nothing_again(spec: SamplerSpec, whole: Draws, tmp_path: Path):
    run(tmp_path, None, spec)
    again = run(tmp_path, StopsAt(1, fail), spec)
    same(again, whole)
    assert again.resumed == 1.0
    assert whole.resumed == 0.0


def test_other_settings_damage_and_other_writers_are_refused(tmp_path: Path):
    run(tmp_path, None)
    with pytest.raises(RunFolderError, match=r'model: "test" there, "other" now'):
        Checkpoint(tmp_path).open({"model": "other"})
    with (
        Checkpoint(tmp_path).open(SETTINGS),
        pytest.raises(RunFolderError, match="another process"),
    ):
        Checkpoint(tmp_path).open(SETTINGS)
    part = tmp_path / "chain_1.000002.npz"
    whole = part.read_bytes()
    changed = bytearray(whole)
    changed[whole.index(b"state.0.npy") + 140] ^= 1
    for content in (whole[:200], bytes(changed)):
        part.write_bytes(content)
        with pytest.raises(RunFolderError, match=r"chain_1\.000002"):
            run(tmp_path, None)
    part.unlink()
    same(run(tmp_path, None), run(None))


def test_folders_of_other_things_are_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("all I have")
    with pytest.raises(RunFolderError, match="other files"):
        Checkpoint(tmp_path).open(SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_full_disk_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Checkpoint(tmp_path, draws=1).open(SETTINGS):
        pass
    monkeypatch.setattr(atomic_write_module.os, "fsync", full)
    with pytest.warns(SamplingWarning, match="disk is full"):
        found = run(tmp_path, None)
    same(found, run(None))
    assert not list(tmp_path.glob("*.npz"))
    assert not list(tmp_path.glob(".chain*"))


def test_interrupt_gives_the_draws_so_far(spec: SamplerSpec, whole: Draws, tmp_path: Path):
    chains = 3
    # Reports come from each chain alone, or from all at once: stop in the fourth round of draws.
    interrupt = StopsAt(chains * (len(ends()) + 4), lambda: os.kill(os.getpid(), signal.SIGINT))
    found = run(tmp_path, interrupt, spec, draws=10**6)
    count = found.positions.shape[1]
    assert 40 <= count < SPEC.num_samples
    assert found.interrupted == (
        f"stopped by the user after {count} of 130 draws in {found.positions.shape[0]} of 3 chains"
    )
    kept = whole.positions[: found.positions.shape[0], :count]
    np.testing.assert_array_equal(found.positions, kept)
    # What was made is on disk though no part was due, and the same call finishes the run.
    same(run(tmp_path, None, spec, draws=10**6), whole)


def ends() -> list[int]:
    """Blocks of the warm-up: windows of 4, 7, 12, 18, 30, 48, 72, 102, 120 in blocks of 20."""
    from mmm_bayes.inference.adaptation import window_ends

    stops = [0, *window_ends(SPEC.num_warmup), SPEC.num_warmup]
    return [
        start
        for first, last in itertools.pairwise(stops)
        for start in range(first, last, SPEC.block)
    ]


def test_interrupt_in_the_warm_up_is_one(tmp_path: Path):
    interrupt = StopsAt(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match="too early"):
        run(tmp_path, interrupt)
    same(run(tmp_path, None), run(None))


@pytest.mark.parametrize("given", [{"draws": 0}, {"minutes": -1.0}])
def test_intervals_are_positive(given: dict[str, Any]):
    with pytest.raises(ValueError, match="greater than 0") as caught:
        Checkpoint("run", **given)
    assert next(iter(given)) in str(caught.value)


_KILLED = """
import os
import sys
import time
sys.path.insert(0, {tests!r})
import test_checkpoint as t
class Tells(t.Silent):
    def update(self, *_):
        os.write(1, b"block\\n")  # in one piece, from threads
        time.sleep(0.02)  # the reader keeps up
found = t.run(t.Path({folder!r}), Tells())
print("done", found.positions.tobytes().hex()[:64], found.positions.sum().hex(), flush=True)
"""


def test_killed_processes_go_on_to_the_same_draws(tmp_path: Path):
    script = _KILLED.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "run"))
    rng = np.random.default_rng(11)
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(int(rng.integers(4, 20))):
                assert process.stdout.readline() == "block\n"
            process.send_signal(signal.SIGKILL)
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    last = ended.stdout.splitlines()[-1].split()
    whole = run(None).positions
    assert last == ["done", whole.tobytes().hex()[:64], whole.sum().hex()]
