"""The published experiments of CausalMMM."""
