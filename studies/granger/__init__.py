"""Rules that CausalMMM is compared with, one file each."""
