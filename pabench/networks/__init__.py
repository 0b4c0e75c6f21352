"""What is pruned: a module as a pure function of its tensors, how signals pass through it, its size, and timm's models.

Nothing here knows what a criterion, a data set or a recipe is.
"""
