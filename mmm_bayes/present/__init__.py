"""Figures and reports: labelled arrays in, something to look at out."""
