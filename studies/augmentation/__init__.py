"""The published evaluation of ADMG causal data augmentation."""
