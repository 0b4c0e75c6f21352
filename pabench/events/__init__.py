"""News of a study for whoever follows it: event hooks, each in a process of its own, fed with JSON lines.

TensorBoard, Weights & Biases and MLflow are here; others come by the entry-point group `pabench.events`.
"""
