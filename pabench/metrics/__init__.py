"""The built-in metrics, one per file; found by the registry."""
