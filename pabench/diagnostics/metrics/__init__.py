"""Built-in metrics, one a file.

Their interface is `diagnostics.metric`; what a study stores of them is said in `store.figures`.
"""
