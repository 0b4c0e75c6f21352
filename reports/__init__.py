"""Built-in report sections, one per file."""
