"""Fit many tables and models in parallel, with one result each."""
