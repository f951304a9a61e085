"""Random keys in the three forms that users type."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import mmm_bayes as mb
from mmm_bayes.runtime.streams import as_key, generator, seed_in_words, streams

OLD = jax.random.PRNGKey(7)
FORMS = [jax.random.key(7), OLD, np.asarray(OLD), 7, np.int64(7)]


@pytest.mark.parametrize("given", FORMS, ids=lambda given: type(given).__name__)
def test_every_form_of_a_seed_is_the_same_key(given: object) -> None:
    assert as_key(given) == jax.random.key(7)
    assert generator(given).random() == generator(jax.random.key(7)).random()
    assert streams(given, ["a"])["a"].random() == streams(7, ["a"])["a"].random()
    assert seed_in_words(given) == "jax.random.key(7)"


def test_a_key_of_another_kind_stays_what_it_is() -> None:
    key = jax.random.key(3, impl="rbg")
    assert as_key(key) is key


@pytest.mark.parametrize("given", ["7", 7.0, None, True, np.arange(2), np.zeros(3, np.uint32)])
def test_what_is_no_key_is_refused(given: object) -> None:
    with pytest.raises(TypeError, match=r"jax\.random\.key\(0\)"):
        as_key(given)


@pytest.mark.parametrize("given", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(given: int) -> None:
    with pytest.raises(ValueError, match=r"2\*\*32 - 1"):
        as_key(given)


@pytest.mark.parametrize("style", [jax.random.key, jax.random.PRNGKey])
def test_several_keys_are_refused(style: object) -> None:
    with pytest.raises(ValueError, match=r"\(3,\)"):
        as_key(jax.random.split(style(0), 3))  # type: ignore[operator]


@pytest.mark.parametrize("given", [jax.random.PRNGKey(2), 2], ids=["old style", "int"])
def test_a_fit_takes_every_form(
    given: object, national_fit: mb.FitResult, national_data: mb.MMMData
) -> None:
    fit = mb.MMM(national_data, national_fit.spec).fit(given, progress=False, num_prior_draws=0)
    drawn, expected = fit.tree["posterior"], national_fit.tree["posterior"]
    np.testing.assert_array_equal(drawn["alpha"], expected["alpha"])
    assert drawn.attrs["rng_key"] == "jax.random.key(2)"
