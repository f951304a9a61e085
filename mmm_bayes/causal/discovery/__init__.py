"""Hybrid discovery of graphs from data and from statements of experts."""
