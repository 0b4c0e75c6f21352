"""pabench raced against the plain loop of public code: the same weights, images, masks and epochs, equality first.

`baseline` is that loop, `works` what is raced, `race` the clock. Measured numbers: docs/performance.md.
"""
