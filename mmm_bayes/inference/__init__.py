"""Samplers and their diagnostics: model-agnostic, callables in, arrays or a DataTree out."""
