"""Training of CausalMMM: stochastic variational inference over batches of shops, then rounds of EM.

Training can be saved, interrupted and resumed between any two epochs or rounds
(:mod:`mmm_bayes.causal_mmm.networks.training_checkpoint`). The shops of a step can be distributed
over devices
(:mod:`mmm_bayes.causal_mmm.networks.training_devices`); rounds
(:mod:`mmm_bayes.causal_mmm.networks.monte_carlo_em`) run on one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpyro.infer import SVI, Trace_ELBO
from pydantic import Field

from mmm_bayes.causal_mmm.networks.additive import AdditiveDecoder
from mmm_bayes.causal_mmm.networks.model import (
    Networks,
    Objective,
    Shops,
    Steps,
    parameters_of,
    program,
)
from mmm_bayes.causal_mmm.networks.monte_carlo_em import (
    Rounds,
    first_state,
    monte_carlo_em,
    networks_of,
)
from mmm_bayes.causal_mmm.networks.shop_blocks import edges_by_block, take
from mmm_bayes.causal_mmm.networks.training_checkpoint import (
    Checkpoint,
    Kept,
    Progress,
    RoundsProgress,
    TrainingWarning,
)
from mmm_bayes.causal_mmm.networks.training_devices import Placement, placement_of
from mmm_bayes.causal_mmm.networks.training_epochs import Epochs, compiled_epochs, train_epoch
from mmm_bayes.inference.sharding import Devices
from mmm_bayes.inference.tracing import tracing
from mmm_bayes.runtime.atomic_write import WriteError
from mmm_bayes.runtime.settings import Frozen

__all__ = [
    "Checkpoint",
    "History",
    "Trained",
    "TrainingSpec",
    "TrainingWarning",
    "train",
    "train_epoch",
    "warm_epochs",
]

Array = jax.Array
NDArray = np.ndarray[Any, Any]


# Share of the epochs in which the encoder is not trained: while mechanisms are still zero, edges
# explain nothing, and the encoder could settle on no edges for all shops.
_WARM = 0.3


@final
class TrainingSpec(Frozen):
    """Settings of training.

    Parameters
    ----------
    epochs
        Passes over all shops.
    batch_size
        Number of shops per step.
    learning_rate
        Initial step size of Adam, which falls to a hundredth along a cosine.
    temperature
        Temperature of the relaxed edges at the start and at the end; it falls geometrically.
    patience
        With validation shops: number of epochs without a better loss after which training stops and
        the best parameters are used. Zero never stops early.
    rounds
        Number of rounds of Monte Carlo EM after the epochs, with the additive decoder.
    """

    epochs: int = Field(200, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(0.01, gt=0.0, le=1.0)
    temperature: tuple[float, float] = (1.0, 0.3)
    patience: int = Field(0, ge=0)
    rounds: int = Field(0, ge=0)


class History(NamedTuple):
    """Loss per shop of each epoch, for training and validation shops (NaN without).

    In the first epochs, in which the encoder is not trained, the training loss leaves out the
    divergence from the prior. ``rounds`` holds the loss per shop of each round of Monte Carlo EM,
    which is a different one: of the series given drawn edges, plus that of the encoder's
    probabilities of these edges.
    """

    loss: NDArray
    validation: NDArray
    rounds: NDArray


class Trained(NamedTuple):
    """Trained networks, the epoch of their parameters, and the history of training.

    ``interrupted`` says what is missing if the user ended training; it is empty otherwise.
    """

    networks: Networks
    best_epoch: int
    history: History
    interrupted: str = ""


def train(
    rng_key: Array,
    networks: Networks,
    objective: Objective,
    steps: Steps,
    spec: TrainingSpec,
    shops: Shops,
    validation: Shops | None = None,
    on_epoch: Callable[[int, int, float], None] = lambda epoch, epochs, loss: None,
    *,
    devices: Devices = None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train on shops.

    Parameters
    ----------
    rng_key
        Random key of batches and relaxed edges.
    networks
        Networks with their initial parameters.
    objective, steps, spec
        Objective and settings.
    shops, validation
        Shops to learn from, and shops for early stopping.
    on_epoch
        Called after each epoch with its number, the total number, and the loss per shop. Rounds are
        numbered after the epochs.
    devices
        Devices over which the shops of each step are distributed. If they belong to several
        processes, each process must call this function with the same arguments.
    checkpoint
        Where to save the state, and from where to resume.

    Returns
    -------
    Trained
        If the user interrupts (Ctrl-C) after an epoch, the training so far, marked as interrupted.

    Raises
    ------
    FloatingPointError
        If a loss is not finite.
    KeyboardInterrupt
        If the user interrupts before the first epoch is complete, or one of several processes.
    RunFolderError, WriteError
        If the checkpoint's folder holds another training, is in use or damaged, or cannot be
        written to.
    """
    placement = placement_of(devices)
    after = spec.rounds
    with Kept(checkpoint, placement) as kept:
        key_init, key_batches, key_validation = jax.random.split(rng_key, 3)
        size = min(spec.batch_size, shops.values.shape[0])
        svi, state = _begin(key_init, networks, objective, steps, spec, shops, size, placement)
        seed = np.asarray(jax.random.key_data(key_batches)).ravel()
        batches = np.random.default_rng(seed).bit_generator.state
        best = svi.get_params(state) if validation is not None and spec.patience else None
        state = placement.everywhere(state, repr((spec, steps)))
        start = kept.read(Progress(0, state, best, 0, (), (), batches), spec.epochs)
        done = start
        interrupted = ""
        try:
            epochs = compiled_epochs(
                svi, shops, validation, state, key_validation, size, spec.temperature[1], placement
            )
            for done in _passes(epochs, svi, spec, start, placement):
                kept.write(done, now=_ended(spec, done))
                on_epoch(done.epoch, spec.epochs + after, done.losses[-1])
        except KeyboardInterrupt:
            if done.epoch == 0 or placement.several_processes:
                raise
            if not _ended(spec, done):
                interrupted = f"interrupted after {done.epoch} of {spec.epochs} epochs"
            elif after:
                interrupted = _stopped_rounds(0, after)
            _keep_interrupted(lambda: kept.write(done, now=True))
        params = svi.get_params(done.state) if done.best is None else done.best
        trained = parameters_of(networks, placement.here(params))
        edges: Array | None = None
        losses: tuple[float, ...] = ()
        if after and not interrupted:
            key_rounds = jax.random.fold_in(rng_key, 3)
            trained, edges, losses = _rounds(
                key_rounds, trained, objective, spec, size, shops, kept, placement, on_epoch
            )
            if len(losses) < after:
                interrupted = _stopped_rounds(len(losses), after)
    best_epoch = done.epoch - 1 if done.best is None else done.best_epoch
    if isinstance(trained.decoder, AdditiveDecoder):
        if edges is None:
            edges = edges_by_block(trained.encoder, objective, shops)
        decoder = trained.decoder.with_unknown(edges, shops.sums.count)
        trained = trained._replace(decoder=decoder)
    history = History(np.array(done.losses), np.array(done.checks), np.array(losses))
    return Trained(trained, best_epoch, history, interrupted)


def _rounds(
    rng_key: Array,
    networks: Networks,
    objective: Objective,
    spec: TrainingSpec,
    size: int,
    shops: Shops,
    kept: Kept,
    placement: Placement,
    on_epoch: Callable[[int, int, float], None],
) -> tuple[Networks, Array, tuple[float, ...]]:
    """Run the rounds; return networks, edge probabilities of the shops, and the loss per round.

    There are fewer losses than rounds if the user interrupted.
    """
    rounds = Rounds(spec.rounds, size)
    start = RoundsProgress(first_state(networks, objective, shops, rounds), ())
    done = kept.read_rounds(start, rounds.number)
    try:
        for state, loss in monte_carlo_em(rng_key, networks, objective, shops, rounds, done.state):
            if not np.isfinite(loss):
                raise FloatingPointError(
                    f"The loss of round {len(done.losses) + 1} is not finite. Check the series for "
                    "extreme values, or train without rounds (rounds=0)."
                )
            done = RoundsProgress(state, (*done.losses, loss))
            kept.write_rounds(done, now=len(done.losses) == rounds.number)
            on_epoch(spec.epochs + len(done.losses), spec.epochs + rounds.number, loss)
    except KeyboardInterrupt:
        if placement.several_processes:  # the others may not be interrupted: stop this one
            raise
        if done.losses:
            _keep_interrupted(lambda: kept.write_rounds(done, now=True))
    return networks_of(done.state, networks), done.state.probability, done.losses


def _stopped_rounds(done: int, rounds: int) -> str:
    return f"interrupted after {done} of {rounds} rounds of Monte Carlo EM"


def warm_epochs(spec: TrainingSpec) -> int:
    """Return the number of epochs in which the encoder is not trained."""
    return int(np.floor(_WARM * spec.epochs))


def _begin(
    rng_key: Array,
    networks: Networks,
    objective: Objective,
    steps: Steps,
    spec: TrainingSpec,
    shops: Shops,
    size: int,
    placement: Placement,
) -> tuple[SVI, Any]:
    """Set up the inference and its state before the first step."""
    count = shops.values.shape[0]
    per_epoch = -(-count // size)
    schedule = optax.cosine_decay_schedule(spec.learning_rate, spec.epochs * per_epoch, 0.01)
    adam = optax.chain(optax.clip_by_global_norm(100.0), optax.adam(schedule))
    svi = SVI(*program(networks, objective, steps), placement.optimiser(adam), Trace_ELBO())
    # Compilation removes the unused likelihood; without, this takes longer than compiling an epoch.
    with tracing():
        one = take(shops, np.arange(1))
        return svi, jax.jit(svi.init)(rng_key, one, jnp.asarray(1.0), size / count)


def _passes(
    epochs: Epochs, svi: SVI, spec: TrainingSpec, done: Progress, placement: Placement
) -> Iterator[Progress]:
    """Run the remaining epochs, and yield the progress after each."""
    temperatures = np.geomspace(*spec.temperature, spec.epochs).astype(np.float32)
    weights = (np.arange(spec.epochs) >= warm_epochs(spec)).astype(np.float32)
    rng = np.random.default_rng()
    rng.bit_generator.state = done.batches
    per_epoch = -(-epochs.shops // epochs.size)
    while not _ended(spec, done):
        order = rng.permutation(epochs.shops)
        # The last batch is padded with shops of the first.
        batches = np.resize(order, (per_epoch, epochs.size))
        state, loss = epochs.run(
            done.state,
            placement.passed(placement.padded(batches)),
            placement.passed(temperatures[done.epoch]),
            placement.passed(weights[done.epoch]),
        )
        losses = (*done.losses, float(loss))
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(
                f"The loss of epoch {done.epoch + 1} is not finite. Lower learning_rate, or check "
                "the series for extreme values."
            )
        check = np.nan if epochs.check is None else epochs.check(state)
        best, best_epoch = done.best, done.best_epoch
        lowest = done.checks[best_epoch] if done.checks else np.inf
        if best is not None and (check < lowest or not np.isfinite(lowest)):
            best, best_epoch = svi.get_params(state), done.epoch
        done = Progress(
            done.epoch + 1,
            state,
            best,
            best_epoch,
            losses,
            (*done.checks, check),
            rng.bit_generator.state,
        )
        yield done


def _ended(spec: TrainingSpec, done: Progress) -> bool:
    """Tell whether all epochs are done, or patience has run out."""
    late = done.best is not None and done.epoch - 1 - done.best_epoch >= spec.patience
    return done.epoch >= spec.epochs or late


def _keep_interrupted(write: Callable[[], None]) -> None:
    try:
        write()
    except WriteError as error:
        # The trained model is not affected.
        warnings.warn(f"The checkpoint is older than the model: {error}", TrainingWarning, 4)
