"""The graph against the data: independence tests, falsification, overlap."""
