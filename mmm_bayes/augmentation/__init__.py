"""Causal data augmentation: rows that a causal graph implies, and what they are worth."""
