"""The built-in datasets, one family per file; found by the registry."""
