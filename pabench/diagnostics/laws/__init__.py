"""What conformance asks of a criterion, one question a file.

The networks and batches that it is asked on are in `diagnostics.specimens`; `diagnostics.conformance` does the asking.
"""

from pabench.diagnostics.laws import agreement, counts, definition, purity, robustness, symmetry

LAWS = (*definition.LAWS, *purity.LAWS, *counts.LAWS, *symmetry.LAWS, *robustness.LAWS, *agreement.LAWS)
