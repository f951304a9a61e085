"""Where training stands, and a folder that it is kept in.

What is kept is the state after the latest epoch: parameters and optimiser, the best parameters
where they are looked for, the losses, and the position of the generator that orders batches; and
that after the latest of the rounds that follow
(:mod:`mmm_bayes.causal_mmm.networks.monte_carlo_em`). One file each holds it all and is replaced
by a whole one, so that a process that is killed at any moment leaves a state to go on from, to the
same parameters as if nothing had happened. Leaves of states are arrays in the order of the tree;
the tree itself comes from a state that is made anew.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self, final

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.causal_mmm.networks.training_devices import Placement, is_key, plain
from mmm_bayes.runtime.run_folder import RunFolder, RunFolderError
from mmm_bayes.runtime.warn import warn_user

NDArray = np.ndarray[Any, Any]

_NAME, _ROUNDS = "training", "rounds"
_WORD = 2**64


class TrainingWarning(UserWarning):
    """Training goes on, or has ended, but not as asked for."""


class Progress(NamedTuple):
    """What training knows after some epochs.

    Attributes
    ----------
    epoch
        Epochs that are done.
    state
        Parameters, optimiser and key.
    best, best_epoch
        Parameters of the epoch with the least loss of validation shops, counted from zero; ``None``
        where it is not looked for.
    losses, checks
        Of each epoch: loss a shop of training and of validation shops.
    batches
        Position of the generator that orders shops.
    """

    epoch: int
    state: Any
    best: Any
    best_epoch: int
    losses: tuple[float, ...]
    checks: tuple[float, ...]
    batches: Mapping[str, Any]


class RoundsProgress(NamedTuple):
    """What is known after some rounds of Monte Carlo EM: their state, and the loss of each."""

    state: Any
    losses: tuple[float, ...]


@final
@dataclass(frozen=True)
class Checkpoint:
    """Where training is kept, and how often.

    Parameters
    ----------
    folder
        Of one training; made if it is not there. The same training goes on where it stopped.
    settings
        All that training depends on, as JSON takes it: a folder of other settings is refused.
    every
        Epochs, or rounds, between states that are written. The last of them always is.

    Raises
    ------
    ValueError
        If ``every`` is not positive.
    """

    folder: str | os.PathLike[str]
    settings: Mapping[str, Any]
    every: int = 10

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"checkpoint_every should be 1 or more; got {self.every}.")


class Kept:
    """A checkpoint's folder, taken (by the process that leads); nothing without a checkpoint.

    Raises
    ------
    RunFolderError
        If the folder is of another run, is not a run's, or is in use.
    WriteError
        If it cannot be written to.
    """

    def __init__(self, checkpoint: Checkpoint | None, placement: Placement) -> None:
        self._checkpoint, self._placement = checkpoint, placement
        self._run: RunFolder | None = None
        self._written = {_NAME: 0, _ROUNDS: 0}
        if checkpoint is not None:
            placement.from_leader(self._open)

    def _open(self) -> bytes:
        assert self._checkpoint is not None
        kind = "training of CausalMMM"
        self._run = RunFolder(self._checkpoint.folder, kind, self._checkpoint.settings)
        return b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._run is not None:
            self._run.close()

    def read(self, start: Progress, epochs: int) -> Progress:
        """Where training stands, and ``start`` if nothing is kept.

        Parameters
        ----------
        start
            A state before the first epoch: its tree, shapes and types are those that are expected.
        epochs
            How many there are in all.

        Raises
        ------
        RunFolderError
            If the file is damaged, or holds something else.
        """

        def parse(arrays: dict[str, NDArray]) -> tuple[Progress, int]:
            return _from_arrays(arrays, start, epochs), int(arrays["devices"])

        kept = self._read(_NAME, parse)
        if kept is None:
            return start
        found, devices = kept
        if devices != self._placement.count:
            warn_user(
                f"Training goes on with {self._placement.count} devices where it had {devices}: "
                "parameters will be the same up to rounding only.",
                TrainingWarning,
            )
        self._written[_NAME] = found.epoch
        return found._replace(state=self._placement.everywhere(found.state))

    def read_rounds(self, start: RoundsProgress, rounds: int) -> RoundsProgress:
        """Where the rounds stand, and ``start`` if none is kept.

        Parameters
        ----------
        start
            Before the first round.
        rounds
            How many there are in all.

        Raises
        ------
        RunFolderError
            If the file is damaged, or holds something else.
        """

        def parse(arrays: dict[str, NDArray]) -> RoundsProgress:
            losses = tuple(arrays["loss"].tolist())
            if not 0 < len(losses) <= rounds:
                raise ValueError(f"losses of {len(losses)} of {rounds} rounds")
            return RoundsProgress(_like(start.state, arrays, "state"), losses)

        found = self._read(_ROUNDS, parse)
        if found is None:
            return start
        self._written[_ROUNDS] = len(found.losses)
        return found

    def _read[T](self, name: str, parse: Callable[[dict[str, NDArray]], T]) -> T | None:
        if self._checkpoint is None:
            return None
        content = self._placement.from_leader(lambda: self._content(name))
        if not content:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = dict(file)
        try:
            return parse(arrays)
        except (KeyError, ValueError, TypeError) as error:
            raise RunFolderError(
                f"{self._checkpoint.folder}/{name}.npz is no state of this training ({error}). "
                "Delete it, and this part of training starts over."
            ) from error

    def _content(self, name: str) -> bytes:
        assert self._run is not None
        arrays = self._run.read(name)
        if arrays is None:
            return b""
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        return file.getvalue()

    def write(self, progress: Progress, *, now: bool = False) -> None:
        """Keep where training stands, if it is time to, or ``now``.

        Raises
        ------
        WriteError
            If the disk is full or read-only; the state before is still there.
        """
        count = self._placement.count
        self._write(_NAME, progress.epoch, lambda: _to_arrays(progress, count), now)

    def write_rounds(self, progress: RoundsProgress, *, now: bool = False) -> None:
        """Keep where the rounds stand, as :meth:`write` does."""

        def arrays() -> dict[str, NDArray]:
            return {"loss": np.array(progress.losses), **_leaves(progress.state, "state")}

        self._write(_ROUNDS, len(progress.losses), arrays, now)

    def _write(
        self, name: str, done: int, arrays: Callable[[], dict[str, NDArray]], now: bool
    ) -> None:
        if self._checkpoint is None or done == self._written[name]:
            return
        if not now and done - self._written[name] < self._checkpoint.every:
            return

        def write() -> bytes:
            assert self._run is not None
            self._run.write(name, arrays())
            return b""

        self._placement.from_leader(write)
        self._written[name] = done


def _to_arrays(progress: Progress, devices: int) -> dict[str, NDArray]:
    arrays = _leaves(progress.state, "state") | _leaves(progress.best, "best")
    inner = progress.batches["state"]
    words = [word for name in ("state", "inc") for word in divmod(inner[name], _WORD)]
    words += [progress.batches["has_uint32"], progress.batches["uinteger"]]
    return arrays | {
        "epoch": np.array(progress.epoch),
        "best_epoch": np.array(progress.best_epoch),
        "has_best": np.array(progress.best is not None),
        "loss": np.array(progress.losses),
        "validation": np.array(progress.checks),
        "batches": np.array(words, np.uint64),
        "devices": np.array(devices),
    }


def _from_arrays(arrays: dict[str, NDArray], start: Progress, epochs: int) -> Progress:
    epoch, best_epoch = int(arrays["epoch"]), int(arrays["best_epoch"])
    losses, checks = (tuple(arrays[name].tolist()) for name in ("loss", "validation"))
    if not 0 < epoch <= epochs or not 0 <= best_epoch < epoch:
        raise ValueError(f"epoch {epoch} of {epochs}, the best of them {best_epoch}")
    if len(losses) != epoch or len(checks) != epoch:
        raise ValueError(f"{len(losses)} and {len(checks)} losses of {epoch} epochs")
    high, low, inc_high, inc_low, has_word, word = (int(word) for word in arrays["batches"])
    state, inc = high * _WORD + low, inc_high * _WORD + inc_low
    batches = {
        **start.batches,
        "state": {"state": state, "inc": inc},
        "has_uint32": has_word,
        "uinteger": word,
    }
    best = _like(start.best, arrays, "best") if bool(arrays["has_best"]) else None
    state = _like(start.state, arrays, "state")
    return Progress(epoch, state, best, best_epoch, losses, checks, batches)


def _leaves(tree: Any, name: str) -> dict[str, NDArray]:
    return {f"{name}.{k:03d}": plain(leaf) for k, leaf in enumerate(jax.tree.leaves(tree))}


def _like(tree: Any, arrays: dict[str, NDArray], name: str) -> Any:
    """Tree of arrays that were written, of the shapes and types of another."""
    leaves, structure = jax.tree.flatten(tree)
    if sum(key.startswith(f"{name}.") for key in arrays) != len(leaves):
        raise ValueError(f"not {len(leaves)} arrays of {name}")
    found = []
    for k, leaf in enumerate(leaves):
        array, wanted = arrays[f"{name}.{k:03d}"], plain(leaf)
        if (array.shape, array.dtype) != (wanted.shape, wanted.dtype):
            raise ValueError(
                f"{name}.{k:03d} is {array.dtype}{array.shape}, not {wanted.dtype}{wanted.shape}"
            )
        values = jnp.asarray(array)
        impl = jax.random.key_impl(leaf) if is_key(leaf) else None
        found.append(values if impl is None else jax.random.wrap_key_data(values, impl=impl))
    return jax.tree.unflatten(structure, found)
