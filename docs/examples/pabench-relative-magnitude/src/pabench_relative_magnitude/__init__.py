"""Relative magnitude, a pruning criterion for pabench."""
