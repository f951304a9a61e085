"""Hybrid discovery: the data's graph and the experts' statements."""
