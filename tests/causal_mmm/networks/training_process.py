"""Trainings that tests run in processes of their own: to kill them, or with several devices.

python training_process.py killed FOLDER: train, resuming; then once more without stopping.
python training_process.py devices FOLDER DECODER ...: on one device, and on four.
python training_process.py NUMBER PORT FOLDER: one of two processes of one training.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import jax
import numpy as np
from threadpoolctl import threadpool_limits

SETTINGS: dict[str, Any] = {
    "lags": 2,
    "hidden": 4,
    "components": 1,
    "encoder": "series",
    "patience": 1000,
}
ROUNDS = 3
SHORT = (3, 6)  # epochs, and a batch that four devices do not divide


def panel_of(seed: int, shops: int) -> Any:
    from mmm_bayes import ShopPanel

    random = np.random.default_rng(seed)
    values = random.normal(size=(shops, 30, 3))
    for t in range(1, 30):
        values[:, t, 1:] += 0.9 * values[:, t - 1, :-1]
    names = tuple(f"{seed}-{i}" for i in range(shops))
    return ShopPanel(values, ("x0", "x1", "y"), names, np.zeros((shops, 30, 0)))


def trained(
    epochs: int,
    batch_size: int,
    decoder: str = "additive",
    rounds: int = ROUNDS,
    **options: Any,
) -> Any:
    from mmm_bayes import CausalMMM

    settings = SETTINGS | {"epochs": epochs, "batch_size": batch_size}
    own = {"rounds": rounds} if decoder == "additive" else {"decoder": decoder, "embedding": 2}
    cm = CausalMMM(**settings, **own)
    return cm.fit(jax.random.key(1), panel_of(0, 10), validation=panel_of(1, 5), **options)


def figures(cm: Any) -> dict[str, Any]:
    """Losses, all parameters, and what the encoder says."""
    fitted = cm._fitted
    leaves = [np.asarray(x) for x in jax.tree.leaves(fitted.networks) if hasattr(x, "shape")]
    found = {f"parameter {k}": leaf for k, leaf in enumerate(leaves)}
    found |= {name: value for name, value in fitted.history._asdict().items()}
    edges = cm.edge_probabilities(refine=False).values
    return {**found, "best_epoch": fitted.best_epoch, "edges": edges}


def killed(folder: str) -> None:
    options = {"checkpoint": folder, "checkpoint_every": 1}
    first: list[int] = []

    def on_epoch(epoch: int, epochs: int, loss: float) -> None:
        first.append(epoch)
        print(epoch, flush=True)

    resumed = trained(400, 4, on_epoch=on_epoch, **options)
    whole = trained(400, 4)
    expected = figures(whole)
    assert len(whole.history["round"]) == ROUNDS
    for name, found in figures(resumed).items():
        np.testing.assert_array_equal(found, expected[name])
    assert len(whole.history.epoch) == 400
    print("same", first[0] if first else 401 + ROUNDS, flush=True)


def devices(folder: str, *decoders: str) -> None:
    assert len(jax.devices()) == 4
    for decoder in decoders:
        # Not the rounds: rounding may draw another edge.
        one, four = (trained(*SHORT, decoder, devices=given, rounds=0) for given in (None, "all"))
        np.savez(os.path.join(folder, f"{decoder} one.npz"), **figures(one))
        np.savez(os.path.join(folder, f"{decoder} four.npz"), **figures(four))
    try:
        trained(*SHORT, devices=5)
    except ValueError as error:
        print(error)


def of_two(number: int, port: str, folder: str) -> None:
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, number)
    assert len(jax.devices()) == 2
    own = os.path.join(folder, f"kept of {number}")  # the process that leads alone makes its folder
    options: dict[str, Any] = {"devices": "all", "checkpoint": own, "checkpoint_every": 1}

    def stop(epoch: int, epochs: int, loss: float) -> None:
        if epoch == 2:
            raise RuntimeError("stopped")

    try:
        trained(*SHORT, on_epoch=stop, **options)
    except RuntimeError:
        seen: list[int] = []
        both = trained(*SHORT, on_epoch=lambda epoch, *_: seen.append(epoch), **options)
        assert seen == [3, 4, 5, 6]  # an epoch and the rounds
    np.savez(os.path.join(folder, f"{number}.npz"), **figures(both))
    assert os.path.exists(own) == (number == 0)
    for batch_size, given in ((5, options), (5 + number, {"devices": "all"})):
        try:
            trained(SHORT[0], batch_size, **given)
        except ValueError as error:
            print(error, flush=True)
    jax.distributed.shutdown()


if __name__ == "__main__":
    with threadpool_limits(1, user_api="blas"):
        if sys.argv[1] == "killed":
            killed(sys.argv[2])
        elif sys.argv[1] == "devices":
            devices(*sys.argv[2:])
        else:
            of_two(int(sys.argv[1]), sys.argv[2], sys.argv[3])
