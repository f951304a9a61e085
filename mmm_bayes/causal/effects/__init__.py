"""Effects on adjustment sets: estimation, refutation, sensitivity, experiments."""

from mmm_bayes.runtime.lazy_import import lazy_names

# Names of the module that this package was.
__getattr__, __dir__ = lazy_names(
    __name__,
    {},
    {
        "average_treatment_effect": "causal.effects.effects.average_treatment_effect",
        "effects_table": "causal.effects.effects.effects_table",
    },
)
