"""What is done to one cell: its block is set up, its masks are made, it is trained, evaluated and measured.

Everything here runs in the process of one cell; which cells there are and who runs them is the business of `run`.
"""
