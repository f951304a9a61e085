"""The Bayesian media-mix model: its specification and the NumPyro program it stands for."""

import numpyro

# After `import arviz`, `numpyro` is a stand-in that loads on first use. If its submodule were the
# first thing imported, that would load twice and miss its own attributes: use the package first.
_NUMPYRO = numpyro.__version__
