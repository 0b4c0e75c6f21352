"""What can be said of a criterion, a network and a mask: metrics, the doctor's findings and remedies, conformance.

Nothing here changes a result or trains a network; what is printed of it lives in `cli`.
"""
