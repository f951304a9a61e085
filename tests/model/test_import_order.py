import subprocess
import sys


def test_arviz_may_be_imported_first():
    # ArviZ puts a lazily loaded numpyro in its place, which breaks numpyro.distributions if that
    # is what is imported next.
    program = (
        "import arviz, mmm_bayes.model.generative, numpyro\n"
        "assert numpyro.distributions.distribution.Unit is not None\n"
        "numpyro.handlers.seed(lambda: numpyro.factor('f', 0.0), 0)()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
