"""The one door for people who write plugins: everything a criterion, a metric, a dataset or a section needs.

A name is looked up when it is first used, so that a report section, which needs no torch, loads none. What is not
listed here is the inside of pabench and may change without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same as below, for editors and type checkers
    from pabench.data.dataset import (
        Dataset as Dataset,
        InMemory as InMemory,
        Regression as Regression,
        content_digest as content_digest,
    )
    from pabench.data.split import Images as Images, Streamed as Streamed
    from pabench.diagnostics.metric import (
        CurveMetric as CurveMetric,
        MaskMetric as MaskMetric,
        MetricContext as MetricContext,
        Numbers as Numbers,
        PairMetric as PairMetric,
        Training as Training,
        kept as kept,
    )
    from pabench.errors import (
        DataError as DataError,
        MissingError as MissingError,
        PluginError as PluginError,
        SuiteError as SuiteError,
    )
    from pabench.events.hook import EventHook as EventHook
    from pabench.networks.carried import Carried as Carried
    from pabench.networks.derivatives import gradient as gradient, hessian_gradient as hessian_gradient
    from pabench.networks.flow import Flow as Flow
    from pabench.networks.kinds import is_recurrent as is_recurrent
    from pabench.networks.network import Network as Network, Tensors as Tensors
    from pabench.networks.operations import (
        LAYERS as LAYERS,
        NORMS as NORMS,
        RECTIFIERS as RECTIFIERS,
        RISING as RISING,
        SATURATING as SATURATING,
    )
    from pabench.networks.rewire import UNCLAMPED as UNCLAMPED, UNNORMALISED as UNNORMALISED, Rewired as Rewired
    from pabench.parameters import (
        ADDED as ADDED,
        NonNegativeFloat as NonNegativeFloat,
        NonNegativeInt as NonNegativeInt,
        ParameterError as ParameterError,
        PositiveFloat as PositiveFloat,
        PositiveInt as PositiveInt,
    )
    from pabench.report.section import Section as Section
    from pabench.report.study import Study as Study
    from pabench.scoring.allocation import layer_counts as layer_counts
    from pabench.scoring.context import Batch as Batch, ScoreContext as ScoreContext, Sources as Sources
    from pabench.scoring.control import Control as Control, Original as Original
    from pabench.scoring.criterion import Criterion as Criterion, Round as Round, ScoreCriterion as ScoreCriterion
    from pabench.scoring.gradual import Gradual as Gradual
    from pabench.scoring.selection import Selection as Selection, kept_count as kept_count, select as select
    from pabench.suite.cell import Cell as Cell, facts as facts
    from pabench.suite.specs import Augment as Augment, ModelSpec as ModelSpec

_NAMES = {
    "data.dataset": "content_digest Dataset InMemory Regression",
    "data.split": "Images Streamed",
    "diagnostics.metric": "CurveMetric kept MaskMetric MetricContext Numbers PairMetric Training",
    "errors": "DataError MissingError PluginError SuiteError",
    "events.hook": "EventHook",
    "networks.carried": "Carried",
    "networks.derivatives": "gradient hessian_gradient",
    "networks.flow": "Flow",
    "networks.kinds": "is_recurrent",
    "networks.network": "Network Tensors",
    "networks.operations": "LAYERS NORMS RECTIFIERS RISING SATURATING",
    "networks.rewire": "Rewired UNCLAMPED UNNORMALISED",
    "parameters": "ADDED NonNegativeFloat NonNegativeInt ParameterError PositiveFloat PositiveInt",
    "report.section": "Section",
    "report.study": "Study",
    "scoring.allocation": "layer_counts",
    "scoring.context": "Batch ScoreContext Sources",
    "scoring.control": "Control Original",
    "scoring.criterion": "Criterion Round ScoreCriterion",
    "scoring.gradual": "Gradual",
    "scoring.selection": "kept_count select Selection",
    "suite.cell": "Cell facts",
    "suite.specs": "Augment ModelSpec",
}
"""What each module of pabench gives to plugins."""
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"pabench.{_HOME[name]}"), name)
    raise AttributeError(f"module 'pabench.plugins' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
