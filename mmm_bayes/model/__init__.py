"""The Bayesian media-mix model: its specification and the NumPyro program it stands for."""
