"""Levels 1 to 4 of trust: form, consistency, masks made again, trainings repeated.

Levels 1 and 2 load no plugin and no torch; a stranger's code runs in child processes alone.
"""
