"""Training of CausalMMM: stochastic variational inference over batches of shops, then rounds of EM.

It goes from one whole epoch, and one round, to the next, so that it can be kept, interrupted and
taken up again between any two (:mod:`mmm_bayes.causal_mmm.networks.training_checkpoint`). The
shops of an epoch's step may be shared out over devices
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


# Share of the epochs in which the encoder stays as it starts: with mechanisms that are still zero,
# edges explain nothing, and it could settle on none for all shops.
_WARM = 0.3


@final
class TrainingSpec(Frozen):
    """Settings of training.

    Parameters
    ----------
    epochs
        Passes over all shops.
    batch_size
        Shops a step.
    learning_rate
        First step of Adam; falls to a hundredth along a cosine.
    temperature
        Of the relaxed edges, at the start and at the end; it falls geometrically.
    patience
        With validation shops: epochs without a better loss after which training ends, and the best
        parameters are taken. Zero never stops.
    rounds
        Of Monte Carlo EM after the epochs, with the additive decoder.
    """

    epochs: int = Field(200, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(0.01, gt=0.0, le=1.0)
    temperature: tuple[float, float] = (1.0, 0.3)
    patience: int = Field(0, ge=0)
    rounds: int = Field(0, ge=0)


class History(NamedTuple):
    """Loss a shop of each epoch, of training and (NaN without) validation shops.

    The first epochs, in which the encoder waits, leave the divergence from the prior out of the
    loss of training. ``rounds`` holds the loss a shop of each round of Monte Carlo EM, which is
    another: of the series along edges that were drawn, and of the encoder's probabilities of these.
    """

    loss: NDArray
    validation: NDArray
    rounds: NDArray


class Trained(NamedTuple):
    """Networks with their parameters, the epoch they are of, and how it went.

    ``interrupted`` says in words what is missing where the user ended training; empty otherwise.
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
        Key of batches and relaxed edges.
    networks
        With their initial parameters.
    objective, steps, spec
        What is maximised, and how.
    shops, validation
        Shops to learn from, and shops to stop by.
    on_epoch
        Told the epoch, how many there are, and the loss a shop. Rounds count on from the epochs.
    devices
        That the shops of each step are shared out over. Where they are of several processes, all
        of these call this with the same arguments.
    checkpoint
        Where to keep the state, and to go on from it.

    Returns
    -------
    Trained
        If the user interrupts (Ctrl-C) after an epoch, what was trained so far, so marked.

    Raises
    ------
    FloatingPointError
        If a loss is not finite.
    KeyboardInterrupt
        If the user interrupts before the first epoch is done, or one of several processes.
    RunFolderError, WriteError
        If the checkpoint's folder is of another training, in use, damaged, or cannot be written to.
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
    """Networks after the rounds, probabilities of the shops' edges, and the loss of each round.

    Fewer losses than rounds say that the user interrupted.
    """
    rounds = Rounds(spec.rounds, size)
    start = RoundsProgress(first_state(networks, objective, shops, rounds), ())
    done = kept.read_rounds(start, rounds.number)
    try:
        for state, loss in monte_carlo_em(rng_key, networks, objective, shops, rounds, done.state):
            if not np.isfinite(loss):
                raise FloatingPointError(
                    f"The loss of round {len(done.losses) + 1} is not finite. Look at the series "
                    "for extreme values, or leave the rounds out (rounds=0)."
                )
            done = RoundsProgress(state, (*done.losses, loss))
            kept.write_rounds(done, now=len(done.losses) == rounds.number)
            on_epoch(spec.epochs + len(done.losses), spec.epochs + rounds.number, loss)
    except KeyboardInterrupt:
        if placement.several_processes:  # the others may not know: nothing can be done together
            raise
        if done.losses:
            _keep_interrupted(lambda: kept.write_rounds(done, now=True))
    return networks_of(done.state, networks), done.state.probability, done.losses


def _stopped_rounds(done: int, rounds: int) -> str:
    return f"interrupted after {done} of {rounds} rounds of Monte Carlo EM"


def warm_epochs(spec: TrainingSpec) -> int:
    """Number of epochs in which the encoder waits."""
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
    """Inference and its state before the first step."""
    count = shops.values.shape[0]
    per_epoch = -(-count // size)
    schedule = optax.cosine_decay_schedule(spec.learning_rate, spec.epochs * per_epoch, 0.01)
    adam = optax.chain(optax.clip_by_global_norm(100.0), optax.adam(schedule))
    svi = SVI(*program(networks, objective, steps), placement.optimiser(adam), Trace_ELBO())
    # Compiled, it leaves out the likelihood; run as it stands, it takes longer than an epoch's
    # compilation.
    with tracing():
        one = take(shops, np.arange(1))
        return svi, jax.jit(svi.init)(rng_key, one, jnp.asarray(1.0), size / count)


def _passes(
    epochs: Epochs, svi: SVI, spec: TrainingSpec, done: Progress, placement: Placement
) -> Iterator[Progress]:
    """Where training stands after each of the epochs that are left."""
    temperatures = np.geomspace(*spec.temperature, spec.epochs).astype(np.float32)
    weights = (np.arange(spec.epochs) >= warm_epochs(spec)).astype(np.float32)
    rng = np.random.default_rng()
    rng.bit_generator.state = done.batches
    per_epoch = -(-epochs.shops // epochs.size)
    while not _ended(spec, done):
        order = rng.permutation(epochs.shops)
        # The last batch is filled up from the first.
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
                f"The loss of epoch {done.epoch + 1} is not finite. Lower learning_rate, or look "
                "at the series for extreme values."
            )
        check = np.nan if epochs.check is None else epochs.check(state)
        best, best_epoch = done.best, done.best_epoch
        least = done.checks[best_epoch] if done.checks else np.inf
        if best is not None and (check < least or not np.isfinite(least)):
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
    """Whether no epoch is left, or none has been better for long."""
    late = done.best is not None and done.epoch - 1 - done.best_epoch >= spec.patience
    return done.epoch >= spec.epochs or late


def _keep_interrupted(write: Callable[[], None]) -> None:
    try:
        write()
    except WriteError as error:
        # The trained model is there all the same.
        warnings.warn(f"The checkpoint is older than the model: {error}", TrainingWarning, 4)
