"""A study carried out: the tasks of its cells, the engines that run them, the session, and what it will cost.

Nothing here computes a mask or prints a line: `training` does the one, `cli` the other.
"""
