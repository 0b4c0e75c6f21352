"""Means, intervals, ranks, tests and power: numbers about numbers.

Nothing here reads a file or knows what a criterion is; what a page says of the numbers lives in `report` and in sections.
"""
