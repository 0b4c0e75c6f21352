"""The one door for people who write plugins: everything a criterion, a metric, a dataset or a section needs.

A name is looked up when it is first used, so that a report section, which needs no torch, loads none. What is not
listed here is the inside of pabench and may change without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pabench.data.dataset import Dataset as Dataset
    from pabench.data.dataset import InMemory as InMemory
    from pabench.data.dataset import content_digest as content_digest
    from pabench.data.split import Images as Images
    from pabench.data.split import Streamed as Streamed
    from pabench.diagnostics.metric import CurveMetric as CurveMetric
    from pabench.diagnostics.metric import MaskMetric as MaskMetric
    from pabench.diagnostics.metric import MetricContext as MetricContext
    from pabench.diagnostics.metric import Numbers as Numbers
    from pabench.diagnostics.metric import PairMetric as PairMetric
    from pabench.diagnostics.metric import Training as Training
    from pabench.diagnostics.metric import kept as kept
    from pabench.errors import DataError as DataError
    from pabench.errors import MissingError as MissingError
    from pabench.errors import PluginError as PluginError
    from pabench.errors import SuiteError as SuiteError
    from pabench.networks.carried import Carried as Carried
    from pabench.networks.network import Network as Network
    from pabench.networks.network import Tensors as Tensors
    from pabench.networks.rewire import UNCLAMPED as UNCLAMPED
    from pabench.networks.rewire import UNNORMALISED as UNNORMALISED
    from pabench.networks.rewire import Rewired as Rewired
    from pabench.networks.walks import Steps as Steps
    from pabench.networks.walks import Walks as Walks
    from pabench.networks.wiring import Applied as Applied
    from pabench.networks.wiring import WiringError as WiringError
    from pabench.networks.wiring import passing as passing
    from pabench.networks.wiring import wiring as wiring
    from pabench.parameters import NonNegativeFloat as NonNegativeFloat
    from pabench.parameters import NonNegativeInt as NonNegativeInt
    from pabench.parameters import PositiveFloat as PositiveFloat
    from pabench.parameters import PositiveInt as PositiveInt
    from pabench.report.section import Section as Section
    from pabench.report.study import Study as Study
    from pabench.scoring.allocation import layer_counts as layer_counts
    from pabench.scoring.context import Batch as Batch
    from pabench.scoring.context import ScoreContext as ScoreContext
    from pabench.scoring.context import Sources as Sources
    from pabench.scoring.control import Control as Control
    from pabench.scoring.control import Original as Original
    from pabench.scoring.criterion import Criterion as Criterion
    from pabench.scoring.criterion import Round as Round
    from pabench.scoring.criterion import ScoreCriterion as ScoreCriterion
    from pabench.scoring.selection import Selection as Selection
    from pabench.scoring.selection import kept_count as kept_count
    from pabench.scoring.selection import select as select
    from pabench.suite.specs import Augment as Augment
    from pabench.suite.specs import ModelSpec as ModelSpec

_HOME = {
    "Applied": "networks.wiring",
    "Augment": "suite.specs",
    "Batch": "scoring.context",
    "Carried": "networks.carried",
    "Control": "scoring.control",
    "Criterion": "scoring.criterion",
    "CurveMetric": "diagnostics.metric",
    "DataError": "errors",
    "Dataset": "data.dataset",
    "Images": "data.split",
    "InMemory": "data.dataset",
    "MaskMetric": "diagnostics.metric",
    "MetricContext": "diagnostics.metric",
    "MissingError": "errors",
    "ModelSpec": "suite.specs",
    "Network": "networks.network",
    "NonNegativeFloat": "parameters",
    "NonNegativeInt": "parameters",
    "Numbers": "diagnostics.metric",
    "Original": "scoring.control",
    "PairMetric": "diagnostics.metric",
    "PluginError": "errors",
    "PositiveFloat": "parameters",
    "PositiveInt": "parameters",
    "Rewired": "networks.rewire",
    "Round": "scoring.criterion",
    "ScoreContext": "scoring.context",
    "ScoreCriterion": "scoring.criterion",
    "Section": "report.section",
    "Selection": "scoring.selection",
    "Sources": "scoring.context",
    "Steps": "networks.walks",
    "Streamed": "data.split",
    "Study": "report.study",
    "SuiteError": "errors",
    "Tensors": "networks.network",
    "Training": "diagnostics.metric",
    "UNCLAMPED": "networks.rewire",
    "UNNORMALISED": "networks.rewire",
    "Walks": "networks.walks",
    "WiringError": "networks.wiring",
    "content_digest": "data.dataset",
    "kept": "diagnostics.metric",
    "kept_count": "scoring.selection",
    "layer_counts": "scoring.allocation",
    "passing": "networks.wiring",
    "select": "scoring.selection",
    "wiring": "networks.wiring",
}
"""Which module a name lives in; the lines above say the same to editors and type checkers."""

__all__ = [
    "Applied",
    "Augment",
    "Batch",
    "Carried",
    "Control",
    "Criterion",
    "CurveMetric",
    "DataError",
    "Dataset",
    "Images",
    "InMemory",
    "MaskMetric",
    "MetricContext",
    "MissingError",
    "ModelSpec",
    "Network",
    "NonNegativeFloat",
    "NonNegativeInt",
    "Numbers",
    "Original",
    "PairMetric",
    "PluginError",
    "PositiveFloat",
    "PositiveInt",
    "Rewired",
    "Round",
    "ScoreContext",
    "ScoreCriterion",
    "Section",
    "Selection",
    "Sources",
    "Steps",
    "Streamed",
    "Study",
    "SuiteError",
    "Tensors",
    "Training",
    "UNCLAMPED",
    "UNNORMALISED",
    "Walks",
    "WiringError",
    "content_digest",
    "kept",
    "kept_count",
    "layer_counts",
    "passing",
    "select",
    "wiring",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"pabench.{_HOME[name]}"), name)
    raise AttributeError(f"module 'pabench.plugins' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
