"""Means, intervals, ranks, tests and power: numbers about numbers.

Nothing here reads a file or knows what a criterion is; what a page says of the numbers is the business of sections.
"""
