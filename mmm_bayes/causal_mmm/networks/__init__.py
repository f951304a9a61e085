"""Granger graphs of many shops, learned by a graph variational autoencoder."""
