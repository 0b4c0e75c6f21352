"""Data that ships with pabench."""
