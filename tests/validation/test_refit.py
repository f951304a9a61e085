"""Rows with likelihood weight zero do not affect the likelihood."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mmm_bayes import LiftTest, MMMData, ModelSpec
from mmm_bayes.model.program import program_for
from mmm_bayes.validation import refit as parts

SPECS = {
    "normal": {"seasonality": [{"period": "year", "order": 1}]},
    "roas_and_share": {
        "media": {"max_lag": 3, "effect": "roas"},
        "likelihood": {"family": "log_normal"},
    },
    "plain": {
        "media": {"max_lag": 3, "order": "saturation_first", "saturation": "logistic"},
        "likelihood": {"family": "student_t"},
        "trend": {"kind": "none"},
    },
}


@pytest.mark.parametrize("name", list(SPECS))
def test_padding_does_not_change_the_density(national_data: MMMData, name: str):
    spec = ModelSpec(**{"media": {"max_lag": 4}, **SPECS[name]})
    train = national_data.subset(slice(None, national_data.dates[59]))
    empty = parts.shell(spec, train)
    structure, plain = parts.conditioned(empty)
    with empty.precision():
        longer = parts.padded(structure, plain, 75)
        program = program_for(structure, True, "float64")
        layout = program.layout(plain)
        rng = np.random.default_rng(0)
        density = jax.jit(program.potential)
        values = [
            [float(density(position, arrays)) for arrays in (plain, longer)]
            for position in (layout.start(rng, 1.0) for _ in range(3))
        ]
    np.testing.assert_allclose(np.diff(values, axis=1), 0.0, atol=1e-7)


def test_fewer_rows_than_the_table_are_refused(national_data: MMMData):
    empty = parts.shell(ModelSpec(), national_data)
    with pytest.raises(ValueError, match=r"104.*50"):
        parts.padded(empty.structure, empty.arrays, 50)


def test_only_tests_that_were_over_are_known(national_data: MMMData):
    dates, channel = national_data.dates, national_data.channels[0]
    early = LiftTest(channel, dates[10], dates[13], 5.0, 1.0)
    measured = LiftTest(channel, dates[10], dates[13], 5.0, 1.0, measured_until=dates[40])
    late = LiftTest(channel, dates[35], dates[38], 5.0, 1.0)
    train = national_data.subset(slice(None, dates[30]))
    assert parts.tests_within([early, measured, late], train) == (early,)
