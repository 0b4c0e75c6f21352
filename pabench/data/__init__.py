"""What is trained on: the interface of data sets, their splits, streams and augmentation, and the built-in ones.

A built-in data set is one file here; nothing here knows what a network is.
"""
