"""The checks of `pabench conformance`, in the order in which their table shows them."""

from pabench.laws import agreement, counts, definition, purity, robustness, symmetry

LAWS = (
    *definition.LAWS,
    *purity.LAWS,
    *counts.LAWS,
    *symmetry.LAWS,
    *robustness.LAWS,
    *agreement.LAWS,
)
