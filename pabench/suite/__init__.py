"""What is asked: YAML becomes a validated suite, a suite becomes a grid of cells, and every cell has its key.

Nothing here computes, loads data or imports torch; what a cell names (plugins, data) is found by `run.resolve`.
"""
