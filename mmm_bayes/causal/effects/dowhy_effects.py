"""Effect estimates by DoWhy, on the same columns and adjustment set as the built-in estimators.

Identification is done beforehand. DoWhy receives the transformed dose, the outcome, the adjustment
set, and only the requested effect modifiers (by default it would treat every other cause of the
outcome as a modifier). Its standard errors assume independent rows and are not used.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mmm_bayes.causal.effects.estimators import Design

NDArray = np.ndarray[Any, Any]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence DoWhy's log, and its warnings about escape sequences and pandas' copy keyword."""
    logger = logging.getLogger("dowhy")
    level = logger.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "invalid escape sequence", SyntaxWarning)
        warnings.filterwarnings("ignore", '"\\\\. is an invalid escape', SyntaxWarning)
        warnings.filterwarnings("ignore", "The copy keyword is deprecated")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def dowhy() -> Any:
    """Import and return the package ``dowhy``.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        with quiet():
            return importlib.import_module("dowhy")
    except ImportError as error:
        raise ImportError('dowhy is missing: pip install "mmm-bayes[causal]"') from error


class DoWhyEffect:
    """A DoWhy model of one design, used for one or more contrasts.

    Parameters
    ----------
    design : Design
        Arrays of the estimation.
    method : str
        ``"backdoor.linear_regression"``, or ``"backdoor.generalized_linear_model"`` with the
        Poisson family and the log link.

    Raises
    ------
    ImportError
        If DoWhy is not installed.
    """

    def __init__(self, design: Design, method: str) -> None:
        import pandas as pd

        package = dowhy()
        count = design.covariates.shape[1]
        causes = [f"z{i}" for i in range(count)]
        self._modifiers = [f"w{i}" for i in range(design.modifiers.shape[1])]
        columns = np.column_stack(
            [design.dose, design.outcome, design.covariates, design.modifiers]
        )
        frame = pd.DataFrame(columns, columns=["dose", "outcome", *causes, *self._modifiers])
        self._method = method
        with quiet():
            self._model = package.CausalModel(
                frame, "dose", "outcome", common_causes=causes, effect_modifiers=self._modifiers
            )
            self._estimand = self._model.identify_effect(proceed_when_unidentifiable=True)

    def mean_change(self, one: NDArray, other: NDArray) -> float:
        """Return the mean difference in the outcome between two doses (row,)."""
        return float(self._estimate(one[:, None], other[:, None]).value)

    def refute(self, test: str, simulations: int, seed: int) -> tuple[float, float, float]:
        """Run a DoWhy refuter; return the effect of a unit dose before and after, and p-value."""
        method = {
            "placebo_treatment": "placebo_treatment_refuter",
            "random_common_cause": "random_common_cause",
            "data_subset": "data_subset_refuter",
        }[test]
        extra = {"placebo_type": "permute"} if test == "placebo_treatment" else {}
        estimate = self._estimate(0.0, 1.0)
        with quiet():
            found = self._model.refute_estimate(
                self._estimand, estimate, method_name=method, num_simulations=simulations,
                random_state=np.random.RandomState(seed), show_progress_bar=False, **extra,
            )  # fmt: skip
        p = found.refutation_result["p_value"]
        return float(estimate.value), float(found.new_effect), float(np.ravel(p)[0])

    def _estimate(self, one: Any, other: Any) -> Any:
        params: dict[str, Any] = {"need_conditional_estimates": False}
        if self._method.endswith("generalized_linear_model"):
            families = importlib.import_module("statsmodels.api").families
            params["glm_family"] = families.Poisson()
        with quiet():
            return self._model.estimate_effect(
                self._estimand,
                method_name=self._method,
                control_value=one,
                treatment_value=other,
                effect_modifiers=self._modifiers,
                test_significance=False,
                method_params={"init_params": params},
            )
