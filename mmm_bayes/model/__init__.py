"""The Bayesian media-mix model: its specification, and its NumPyro program."""

import numpyro

# After `import arviz`, `numpyro` is a lazy module. Importing a submodule of it first would load the
# package twice and lose attributes, so use the package once before anything else.
_NUMPYRO = numpyro.__version__
