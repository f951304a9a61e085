"""The names of the top: few, complete, quick to import; what was written before still works."""

import copy
import importlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

import mmm_bayes as mb
from mmm_bayes import _moved
from mmm_bayes.runtime.findings import Finding

FACES = [mb, mb.errors, mb.results, mb.simulate, mb.plots]


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_every_name_of_a_face_is_there_and_completes(face):
    assert len(face.__all__) <= 60
    assert set(face.__all__) <= set(dir(face))
    for name in face.__all__:
        assert getattr(face, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = face.nothing


def test_old_names_of_the_top_work_with_a_warning():
    for old, new in mb._OLD.items():
        with pytest.warns(DeprecationWarning, match=f"{old} is deprecated.*mmm_bayes.{new}"):
            value = getattr(mb, old)
        face, _, name = new.partition(".")
        assert value is getattr(getattr(mb, face), name)
        assert old not in dir(mb)


def test_an_error_is_caught_under_its_old_name():
    with pytest.warns(DeprecationWarning, match="mmm_bayes.errors.DataError"):
        caught = getattr(mb, "DataError")  # noqa: B009 - the spelling of before
    with pytest.raises(caught):
        raise mb.errors.DataError([Finding("check", "error", "Wrong.", "Mend it.")])


def test_old_module_paths_work_with_a_warning():
    paths = [*(f"mmm_bayes.{old}" for old in _moved._PACKAGES), *_moved.moved()]
    for old in [*paths, "mmm_bayes.plots.validation", "mmm_bayes.graph_learning.metrics"]:
        sys.modules.pop(old, None)
        with pytest.warns(DeprecationWarning, match=f"{old} is deprecated"):
            module = importlib.import_module(old)
        new = importlib.import_module(_moved.new_path(old))
        for name in [n for n in vars(new) if not n.startswith("_")]:
            assert getattr(module, name) is getattr(new, name)
        with pytest.raises(AttributeError):
            _ = module.nothing


def test_what_notebooks_imported():
    program = (
        "import mmm_bayes.plots.validation, mmm_bayes.report;"
        "from mmm_bayes import plots; from mmm_bayes.plots import plot_roas;"
        "from mmm_bayes.plots.validation import plot_forecast;"
        "from mmm_bayes.data.simulate import simulate_mmm, SimulatedMMM;"
        "from mmm_bayes.distributed.map_fits import map_fits;"
        "from mmm_bayes.graph_learning.metrics import auroc;"
        "from mmm_bayes.causal.graph import CausalGraph;"
        "from mmm_bayes.causal.effects import average_treatment_effect;"
        "import mmm_bayes as mb; assert mb.simulate.mmm is simulate_mmm;"
        "assert mb.CausalGraph is CausalGraph and plots.plot_roas is plot_roas"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_a_path_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("mmm_bayes.nothing")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("mmm_bayes.data.nothing")


def test_import_loads_nothing_heavy():
    program = (
        "import sys, mmm_bayes, mmm_bayes.errors, mmm_bayes.simulate;"
        "assert not {'jax', 'pandas', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_pickle_and_copy():
    spec = mb.ModelSpec()
    for made in (spec, mb.simulate.mmm, mb.errors.DataError, mb.MMM, mb.CausalGraph(["a", "b"])):
        assert pickle.loads(pickle.dumps(made)) == made
        assert copy.deepcopy(made) == made
    data = mb.simulate.mmm(0, num_dates=20, num_channels=1).data
    again = pickle.loads(pickle.dumps(copy.copy(data)))
    np.testing.assert_array_equal(again.ds["target"], data.ds["target"])
