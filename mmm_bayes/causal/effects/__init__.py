"""Effect estimation by adjustment, with refutation, sensitivity analysis and experiments."""

from mmm_bayes.runtime.lazy_import import lazy_names

# Names that were importable when this package was a single module.
__getattr__, __dir__ = lazy_names(
    __name__,
    {},
    {
        "average_treatment_effect": "causal.effects.effects.average_treatment_effect",
        "effects_table": "causal.effects.effects.effects_table",
    },
)
