"""The front door: the commands and what they print; nothing else prints.

A command reads its arguments, calls the rooms below and words the answer: it computes nothing itself.
"""
