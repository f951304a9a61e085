"""Old calls keep working for one version; what help() shows is the new call."""

import inspect
import pickle
from dataclasses import dataclass, fields

import jax
import pytest

from mmm_bayes.runtime.deprecation import named_arguments, old_name, renamed, rng_key_first


@rng_key_first()
@renamed(n_rows="num_rows", level="ci_prob")
def draw(rng_key, data, *, num_rows=10, ci_prob=0.9):
    """Draw rows."""
    return rng_key, data, num_rows, ci_prob


@rng_key_first(position=1)
def compare(rng_key, data, other=None, *, spec=None):
    return rng_key, data, other, spec


class World:
    @rng_key_first(position=1, optional=True)
    def predict(self, rng_key, data=None, *, num_draws=None):
        return self, rng_key, data, num_draws


@named_arguments
def plain(first, *, num_samples=1):
    return first, num_samples


def test_the_new_call_passes_through():
    assert draw(3, "table") == (3, "table", 10, 0.9)
    assert draw(rng_key=3, data="table", num_rows=2) == (3, "table", 2, 0.9)
    assert plain(1, num_samples=4) == (1, 4)


def test_old_names_are_taken_with_a_warning_at_the_callers_line():
    with pytest.warns(DeprecationWarning, match="'n_rows' of draw.*'num_rows'") as caught:
        assert draw(3, "table", n_rows=4) == (3, "table", 4, 0.9)
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="deprecated") as caught:
        assert draw("table", rng_key=3, level=0.5) == (3, "table", 10, 0.5)
    assert {w.filename for w in caught} == {__file__}
    assert len(caught) == 2


def test_a_value_given_under_both_names_is_refused():
    with pytest.raises(TypeError, match="'n_rows' and 'num_rows'"):
        draw(3, "table", n_rows=4, num_rows=4)


@pytest.mark.parametrize("key", [0, jax.random.key(0), jax.random.PRNGKey(0)], ids=str)
def test_old_positions(key):
    with pytest.warns(DeprecationWarning, match="rng_key"):
        assert compare("a", key, "b", spec=1) == (key, "a", "b", 1)
    with pytest.warns(DeprecationWarning, match="rng_key"):
        assert compare("a", rng_key=key) == (key, "a", None, None)
    assert compare(key, "a") == (key, "a", None, None)
    world = World()
    with pytest.warns(DeprecationWarning, match="rng_key"):
        assert world.predict(None, key) == (world, key, None, None)
    with pytest.warns(DeprecationWarning, match="rng_key"):
        assert world.predict("new", num_draws=2) == (world, None, "new", 2)
    with pytest.warns(DeprecationWarning, match="rng_key"):
        assert world.predict() == (world, None, None, None)
    assert world.predict(key, "new") == (world, key, "new", None)


def test_a_missing_key_is_pythons_own_error():
    with pytest.raises(TypeError, match="rng_key"):
        draw(data="table")
    with pytest.raises(TypeError):
        compare("a")


def test_a_misspelt_name_gets_the_nearest_one():
    with pytest.raises(TypeError, match=r"'num_sample'\. Did you mean 'num_samples'\?"):
        plain(1, num_sample=4)


def test_help_completion_and_pickle_see_the_new_function():
    assert list(inspect.signature(draw).parameters) == ["rng_key", "data", "num_rows", "ci_prob"]
    assert (draw.__doc__, draw.__name__) == ("Draw rows.", "draw")
    assert pickle.loads(pickle.dumps(draw)) is draw


def test_old_attributes_warn_and_are_no_fields():
    @dataclass(frozen=True)
    class Table:
        num_rows: int
        n_rows = old_name("num_rows")

    assert [own.name for own in fields(Table)] == ["num_rows"]
    with pytest.warns(DeprecationWarning, match="Table.n_rows.*num_rows") as caught:
        assert Table(3).n_rows == 3
    assert caught[0].filename == __file__
    assert "num_rows" in Table.n_rows.__doc__
