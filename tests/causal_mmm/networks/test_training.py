"""Training that is saved, killed, interrupted and resumed."""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from mmm_bayes.causal_mmm.networks import training
from mmm_bayes.causal_mmm.networks.model import Shops, Steps
from mmm_bayes.causal_mmm.networks.training import (
    Checkpoint,
    Trained,
    TrainingSpec,
    TrainingWarning,
    train,
)
from mmm_bayes.runtime import atomic_write as atomic_write_module
from mmm_bayes.runtime.atomic_write import WriteError
from mmm_bayes.runtime.run_folder import RunFolder, RunFolderError

from .small import additive, networks, objective, prepared, series

NDArray = np.ndarray[Any, Any]
Fit = Callable[..., Trained]


SPEC = TrainingSpec(epochs=12, batch_size=3, learning_rate=0.02, patience=5)


@pytest.fixture(scope="module")
def shops() -> Shops:
    return prepared(series(seed=60)).shops


@pytest.fixture(scope="module")
def fit(shops: Shops) -> Iterator[Fit]:
    """Training of one small model, whose programs are compiled once."""
    others = prepared(series(seed=61)).shops
    compiled = functools.cache(lambda *given: training_compile(*given[0].given))

    class Same:
        """Arguments that identify a training, the same in all tests."""

        def __init__(self, given: Any) -> None:
            self.given = given

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

    training_compile = training.compiled_epochs

    def fitted(
        folder: Path | None = None,
        every: int = 1,
        settings: Any = None,
        on_epoch: Any = lambda *_: None,
        spec: TrainingSpec = SPEC,
    ) -> Trained:
        keep = None if folder is None else Checkpoint(folder, settings or {"seed": 1}, every)
        nets = networks(additive(), shops.evidence.shape[-1])
        return train(
            jax.random.key(8), nets, objective(), Steps(1, False, False), spec, shops, others,
            on_epoch, checkpoint=keep,
        )  # fmt: skip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "compiled_epochs", lambda *given: compiled(Same(given)))
        yield fitted


@pytest.fixture(scope="module")
def whole(fit: Fit) -> Trained:
    found = fit()
    assert not found.interrupted
    return found


def assert_same(one: Trained, other: Trained) -> None:
    assert one.best_epoch == other.best_epoch
    np.testing.assert_array_equal(one.history.loss, other.history.loss)
    np.testing.assert_array_equal(one.history.validation, other.history.validation)
    leaves = [jax.tree.leaves(eqx.filter(each.networks, eqx.is_array)) for each in (one, other)]
    for a, b in zip(*leaves, strict=True):
        np.testing.assert_array_equal(a, b)


class Killed(BaseException):
    """Leave files as if the process had died."""


def test_the_best_epoch_is_taken_and_training_ends_after_it(whole: Trained) -> None:
    checks = whole.history.validation
    assert whole.best_epoch == checks.argmin()
    assert len(checks) in (SPEC.epochs, whole.best_epoch + 1 + SPEC.patience)


def test_killed_at_any_moment_training_goes_on_to_the_same(
    fit: Fit, whole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = random.Random(3)
    replace = os.replace
    kills = 0
    for run in range(4):
        left = [moments.randrange(1, 8)]
        at = moments.choice(["before", "after", "between"])
        seen: list[int] = []

        def end(moment: str, left: list[int] = left) -> None:
            if moment == at:  # noqa: B023 - the present one is meant
                left[0] -= 1
                if not left[0]:
                    raise Killed

        def replaced(source: Any, place: Any) -> None:
            if not str(place).endswith(".npz"):
                return replace(source, place)
            end("before")
            replace(source, place)
            end("after")

        def on_epoch(epoch: int, epochs: int, loss: float, seen: list[int] = seen) -> None:
            seen.append(epoch)
            end("between")

        monkeypatch.setattr(atomic_write_module.os, "replace", replaced)
        while True:
            kept = int(len(seen) and seen[-1])
            try:
                found = fit(tmp_path / str(run), every=1 + run % 2, on_epoch=on_epoch)
                break
            except Killed:
                kills += 1
                # At most one interval of epochs is lost.
                assert len(list((tmp_path / str(run)).glob("*.npz"))) <= 1
                assert not seen or seen[-1] >= kept
                left[0] = moments.randrange(2, 5)
                at = moments.choice(["before", "after", "between"])
        assert_same(found, whole)
    assert kills >= 5


def test_what_is_done_is_not_done_again(fit: Fit, whole: Trained, tmp_path: Path) -> None:
    for expected in (list(range(1, len(whole.history.loss) + 1)), []):
        seen: list[int] = []
        found = fit(tmp_path, every=5, on_epoch=lambda epoch, *_: seen.append(epoch))  # noqa: B023
        assert seen == expected
        assert_same(found, whole)
    assert [path.name for path in tmp_path.glob("*.npz")] == ["training.npz"]


def test_an_interrupt_leaves_what_is_trained(fit: Fit, whole: Trained, tmp_path: Path) -> None:
    def on_epoch(epoch: int, epochs: int, loss: float) -> None:
        if epoch == 4:
            signal.raise_signal(signal.SIGINT)

    found = fit(tmp_path, every=100, on_epoch=on_epoch)
    assert found.interrupted == "interrupted after 4 of 12 epochs"
    np.testing.assert_array_equal(found.history.loss, whole.history.loss[:4])
    assert found.best_epoch == whole.history.validation[:4].argmin()
    seen: list[int] = []
    again = fit(tmp_path, every=100, on_epoch=lambda epoch, *_: seen.append(epoch))
    assert seen[0] == 5
    assert not again.interrupted
    assert_same(again, whole)


def test_an_interrupt_may_come_in_the_middle_of_an_epoch(fit: Fit, whole: Trained) -> None:
    later = threading.Event()

    def on_epoch(epoch: int, epochs: int, loss: float) -> None:
        if epoch == 3 and not later.is_set():
            later.set()
            threading.Timer(0.001, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        elif epoch > 3:
            time.sleep(0.01)  # so that training is not over before

    found = fit(on_epoch=on_epoch)
    done = len(found.history.loss)
    assert 3 <= done < len(whole.history.loss)
    assert found.interrupted == f"interrupted after {done} of 12 epochs"
    np.testing.assert_array_equal(found.history.loss, whole.history.loss[:done])


def test_an_interrupt_before_the_first_epoch_is_raised(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_passes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit()


def test_a_full_disk_loses_neither_the_state_before_nor_an_interrupted_model(
    fit: Fit, whole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: RunFolder, name: str, arrays: Any) -> None:
        raise WriteError(28, "the disk is full")

    def on_epoch(epoch: int, epochs: int, loss: float) -> None:
        if epoch == 2:
            monkeypatch.setattr(RunFolder, "write", full)
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(WriteError, match="full"):
        fit(tmp_path / "a", every=1, on_epoch=on_epoch)
    monkeypatch.undo()
    with pytest.warns(TrainingWarning, match="older than the model: .*disk is full"):
        assert "after 3 of" in fit(tmp_path / "b", every=2, on_epoch=on_epoch).interrupted
    monkeypatch.undo()
    for name in ("a", "b"):
        seen: list[int] = []
        found = fit(tmp_path / name, on_epoch=lambda epoch, *_: seen.append(epoch))  # noqa: B023
        assert seen[0] == 3
        assert_same(found, whole)


def test_folders_of_others_and_damaged_ones_are_refused(fit: Fit, tmp_path: Path) -> None:
    def stop(epoch: int, epochs: int, loss: float) -> None:
        raise RuntimeError("enough")

    run = tmp_path / "run"
    with pytest.raises(RuntimeError, match="enough"):
        fit(run, on_epoch=stop)
    with pytest.raises(RunFolderError, match=r"another run \(seed: 1 there, 2 now"):
        fit(run, settings={"seed": 2})
    held = RunFolder(run, "training of CausalMMM", {"seed": 1})
    with pytest.raises(RunFolderError, match="being written to by another process"):
        fit(run)
    held.close()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("text")
    with pytest.raises(RunFolderError, match="holds other files"):
        fit(foreign)
    file = run / "training.npz"
    good = file.read_bytes()
    arrays = dict(np.load(file))

    def refused(message: str) -> None:
        with pytest.raises(RunFolderError, match=message) as caught:
            fit(run)
        assert "training.npz" in str(caught.value)
        assert "Delete it" in str(caught.value)

    for size in (0, 100, len(good) - 1):
        file.write_bytes(good[:size])
        refused("cannot be read")
    middle = len(good) // 2
    file.write_bytes(good[:middle] + bytes([good[middle] ^ 0xFF]) + good[middle + 1 :])
    refused("cannot be read|is no state")
    wrong: list[dict[str, Any]] = [
        {"state.003": None},
        {"state.999": np.zeros(1)},
        {"state.003": np.zeros((7, 7), np.float32)},
        {"state.003": arrays["state.003"].astype(np.float64)},
        {"best.000": None},
        {"epoch": np.array(99)},
        {"loss": np.zeros(3)},
        {"batches": np.zeros(2, np.uint64)},
    ]
    for changed in wrong:
        with file.open("wb") as place:
            np.savez(place, **{k: v for k, v in (arrays | changed).items() if v is not None})
        refused("is no state of this training")
    with pytest.raises(ValueError, match=r"checkpoint_every.*0"):
        fit(run, every=0)


# --- Processes of their own ----------------------------------------------------------------------

SCRIPT = Path(__file__).with_name("training_process.py")


def child(*arguments: Any, devices: int = 1) -> subprocess.Popen[str]:
    env = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": str(SCRIPT.parents[2]),
    }
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True)


def ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err[-3000:]
    return out


def assert_near(one: Any, other: Any) -> None:
    """Equal up to float32 rounding of sums, which a few steps of Adam amplify."""
    for name in ("loss", "validation"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5)
    np.testing.assert_allclose(one["edges"], other["edges"], atol=1e-4)


def test_four_devices_train_as_one(tmp_path: Path) -> None:
    # Six shops per batch and five for validation: not divisible by four.
    out = ended(child("devices", tmp_path, "additive", devices=4))
    assert_near(*(np.load(tmp_path / f"additive {n}.npz") for n in ("four", "one")))
    assert "devices=5 is not available: JAX sees 4" in out


@pytest.mark.slow
def test_four_devices_train_the_recurrent_decoder_as_one(tmp_path: Path) -> None:
    ended(child("devices", tmp_path, "recurrent", devices=4))
    assert_near(*(np.load(tmp_path / f"recurrent {n}.npz") for n in ("four", "one")))


@pytest.mark.slow
def test_two_processes_train_as_one_and_go_on_together(tmp_path: Path) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [child(number, port, tmp_path) for number in (0, 1)]
    for out in [ended(process) for process in both]:
        assert "spec.batch_size: 6 there, 5 now" in out
        assert "same panel, key and settings" in out
    first, second = (np.load(tmp_path / f"{number}.npz") for number in (0, 1))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    ended(child("devices", tmp_path, "additive", devices=4))
    assert_near(first, np.load(tmp_path / "additive one.npz"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_processes_killed(tmp_path: Path) -> None:
    moments = random.Random(4)
    reached = 0
    for _ in range(20):
        process = child("killed", tmp_path / "run")
        assert process.stdout is not None
        lines = iter(process.stdout)
        first = int(next(lines))
        assert first >= reached  # an epoch may be done and not yet kept
        reached = first
        for _ in range(moments.randrange(3)):
            reached = int(next(lines))
        time.sleep(moments.uniform(0.0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    last = ended(child("killed", tmp_path / "run")).split()
    assert last[-2] == "same"
    assert int(last[-1]) >= reached
