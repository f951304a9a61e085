"""Checks of a causal graph against data: independence tests, falsification, overlap."""
