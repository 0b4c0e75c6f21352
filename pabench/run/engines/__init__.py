"""Engines of more than one machine, and what all engines share: which there are, and the GPUs of a machine."""
