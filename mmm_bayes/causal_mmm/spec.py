"""Settings of CausalMMM."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypedDict, final

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from mmm_bayes.causal_mmm.networks.training import TrainingSpec
from mmm_bayes.runtime.choices import refuse_ignored
from mmm_bayes.runtime.settings import Frozen

Edge = tuple[str, str]
Basis = tuple[Literal["linear", "square", "saturating"], ...]


_SETTINGS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "additive": ("basis", "scores", "rounds", "sweeps"),
        "recurrent": ("embedding", "centred", "noise", "given_every"),
    }
)
"""Settings that only one decoder has, by decoder."""


@final
class CausalMMMSpec(Frozen):
    """Settings of :class:`~mmm_bayes.causal_mmm.model.CausalMMM`, which documents them."""

    decoder: Literal["additive", "recurrent"] = "additive"
    encoder: Literal["evidence", "series"] = "evidence"
    ablation: Literal["full", "markov", "rw"] | None = None
    lags: int = Field(7, ge=1, le=60)
    basis: Literal["auto"] | Basis = "auto"
    hidden: int = Field(32, ge=1)
    embedding: int = Field(8, ge=0)
    centred: bool = True
    components: int = Field(5, ge=0)
    edge_probability: float = Field(0.2, gt=0.0, lt=1.0)
    edge_prior: tuple[tuple[str, str, float], ...] = ()
    required: tuple[Edge, ...] = ()
    forbidden: tuple[Edge, ...] = ()
    penalty: float = Field(1.0, ge=0.0)
    noise: float | None = Field(None, gt=0.0)
    given_every: int = Field(1, ge=1)
    straight_through: bool = False
    normalise: Literal["auto", "series", "node"] = "auto"
    logarithm: bool | tuple[str, ...] = False
    scores: bool = True
    weekly: Literal["auto"] | bool = "auto"
    epochs: int = Field(60, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(0.02, gt=0.0, le=1.0)
    temperature: tuple[PositiveFloat, PositiveFloat] = (1.0, 0.3)
    patience: int = Field(0, ge=0)
    rounds: Literal["auto"] | NonNegativeInt = "auto"
    sweeps: tuple[NonNegativeInt, PositiveInt] = (4, 16)

    @classmethod
    def of(cls, settings: CausalMMMSettings) -> CausalMMMSpec:
        """Return the settings, none of which may be one that the decoder ignores."""
        spec = cls(**settings)
        own = {
            name: (settings.get(name), [decoder])
            for decoder, names in _SETTINGS_OF.items()
            for name in names
        }
        refuse_ignored("decoder", spec.decoder, own)
        return spec

    def with_basis(self, basis: Basis) -> CausalMMMSpec:
        """Return the same settings with this basis."""
        return self.model_copy(update={"basis": basis})

    def training(self, rounds: int) -> TrainingSpec:
        """Return the settings of training, with this number of rounds."""
        return TrainingSpec(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            temperature=self.temperature,
            patience=self.patience,
            rounds=rounds,
        )


class CausalMMMSettings(TypedDict, total=False):
    """Fields of :class:`CausalMMMSpec`."""

    decoder: Literal["additive", "recurrent"]
    encoder: Literal["evidence", "series"]
    ablation: Literal["full", "markov", "rw"] | None
    lags: int
    basis: Literal["auto"] | Basis
    hidden: int
    embedding: int
    centred: bool
    components: int
    edge_probability: float
    edge_prior: tuple[tuple[str, str, float], ...]
    required: tuple[Edge, ...]
    forbidden: tuple[Edge, ...]
    penalty: float
    noise: float | None
    given_every: int
    straight_through: bool
    normalise: Literal["auto", "series", "node"]
    logarithm: bool | tuple[str, ...]
    scores: bool
    weekly: Literal["auto"] | bool
    epochs: int
    batch_size: int
    learning_rate: float
    temperature: tuple[float, float]
    patience: int
    rounds: Literal["auto"] | int
    sweeps: tuple[int, int]
