"""Training of CausalMMM on a panel, with one basis or with the better of two."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from mmm_bayes._typing import RngKey
from mmm_bayes.causal_mmm.checkpoint import training_checkpoint
from mmm_bayes.causal_mmm.checks import training_findings
from mmm_bayes.causal_mmm.inputs import (
    Fitted,
    bases_of,
    initial_networks,
    objective_of,
    one_blas_thread,
    prepare_panel,
    rounds_of,
)
from mmm_bayes.causal_mmm.networks.model import Steps
from mmm_bayes.causal_mmm.networks.training import Checkpoint, TrainingWarning, train, warm_epochs
from mmm_bayes.causal_mmm.spec import CausalMMMSpec
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.inference.sharding import Devices, process_number
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.runtime.progress import Progress, choose_progress
from mmm_bayes.runtime.warn import warn_user

_LAST_EPOCHS = 5
_UNDECIDED = "interrupted before the basis with squares was compared"


def train_panel(
    rng_key: RngKey,
    spec: CausalMMMSpec,
    panel: ShopPanel,
    validation: ShopPanel | None,
    on_epoch: Callable[[int, int, float], None],
    *,
    progress: bool | Progress | None = None,
    devices: Devices = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 10,
) -> Fitted:
    """Train on a panel; the arguments are those of :meth:`CausalMMM.fit`.

    If two bases are trained, both start from the same key, and the one with the lower loss is kept.
    If the user interrupts the second training, the first is kept and marked as interrupted.

    Raises
    ------
    DataError
        If the settings and the panels do not allow training, with every reason.
    """
    if findings := training_findings(spec, panel, validation):
        raise DataError(findings, "the panel of shops")
    prepared = prepare_panel(spec, panel)
    specs = [spec.with_basis(basis) for basis in bases_of(spec, panel, prepared)]
    epochs = [own.epochs + rounds_of(own, panel, prepared) for own in specs]

    def one(number: int) -> Fitted:
        def on_own_epoch(epoch: int, _: int, loss: float) -> None:
            done = sum(epochs[:number]) + epoch
            reporter.update(0, done, f"loss {loss:.4g}")
            on_epoch(done, sum(epochs), loss)

        own = specs[number]
        folder = checkpoint if checkpoint is None or number == 0 else Path(checkpoint, "squares")
        keep = training_checkpoint(folder, checkpoint_every, rng_key, own, panel, validation)
        return _train(rng_key, own, panel, validation, on_own_epoch, devices, keep)

    # One process of several reports: they all do the same.
    with closing(choose_progress(progress if process_number() == 0 else False)) as reporter:
        reporter.start(["CausalMMM"], sum(epochs), "epochs")
        first = one(0)
        if first.interrupted or len(specs) == 1:
            return first
        try:
            second = one(1)
        except KeyboardInterrupt:
            if jax.process_count() > 1:
                raise
            return replace(first, interrupted=_UNDECIDED)
    if second.interrupted:
        return replace(first, interrupted=_UNDECIDED)
    return min(first, second, key=_final_loss)


def warn_of_interruption(fitted: Fitted) -> None:
    """Warn, where :meth:`CausalMMM.fit` is called, that training ended early."""
    text = f"Training was {fitted.interrupted}; the model is that of epoch {fitted.best_epoch + 1}."
    warm = warm_epochs(fitted.spec.training(0))
    if len(fitted.history.loss) <= warm:
        text += f" Its encoder is not trained yet: it learns after epoch {warm}."
    warn_user(text, TrainingWarning)


def _train(
    rng_key: RngKey,
    spec: CausalMMMSpec,
    panel: ShopPanel,
    validation: ShopPanel | None,
    on_epoch: Callable[[int, int, float], None],
    devices: Devices,
    checkpoint: Checkpoint | None,
) -> Fitted:
    """Train with settings that name the basis."""
    key_init, key_train, key_later = jax.random.split(rng_key, 3)
    prepared = prepare_panel(spec, panel)
    others = None
    if validation is not None:
        others = prepare_panel(spec, validation, prepared).shops
    with one_blas_thread():
        trained = train(
            key_train,
            initial_networks(key_init, spec, panel, prepared),
            objective_of(spec, panel.nodes),
            Steps(spec.given_every, spec.straight_through, spec.ablation == "full"),
            spec.training(rounds_of(spec, panel, prepared)),
            prepared.shops,
            others,
            on_epoch,
            devices=devices,
            checkpoint=checkpoint,
        )
    return Fitted(
        spec,
        trained.networks,
        panel,
        prepared,
        trained.history,
        trained.best_epoch,
        key_later,
        trained.interrupted,
    )


def _final_loss(fitted: Fitted) -> float:
    """Compute the mean loss per shop over the last epochs, of validation shops if there are any."""
    history = fitted.history
    checked = bool(np.isfinite(history.validation).all())
    losses = history.validation if checked else history.loss
    return float(np.mean(losses[-_LAST_EPOCHS:]))
