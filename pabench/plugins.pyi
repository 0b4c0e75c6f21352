"""What `pabench.plugins` gives, each name from where it is defined."""

from pabench.data.dataset import Dataset as Dataset, InMemory as InMemory, content_digest as content_digest
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
from pabench.networks.carried import Carried as Carried
from pabench.networks.network import Network as Network, Tensors as Tensors
from pabench.networks.rewire import UNCLAMPED as UNCLAMPED, UNNORMALISED as UNNORMALISED, Rewired as Rewired
from pabench.networks.walks import Steps as Steps, Walks as Walks
from pabench.networks.wiring import (
    Applied as Applied,
    WiringError as WiringError,
    passing as passing,
    wiring as wiring,
)
from pabench.parameters import (
    NonNegativeFloat as NonNegativeFloat,
    NonNegativeInt as NonNegativeInt,
    PositiveFloat as PositiveFloat,
    PositiveInt as PositiveInt,
)
from pabench.report.section import Section as Section
from pabench.report.study import Study as Study
from pabench.scoring.allocation import layer_counts as layer_counts
from pabench.scoring.context import Batch as Batch, ScoreContext as ScoreContext, Sources as Sources
from pabench.scoring.control import Control as Control, Original as Original
from pabench.scoring.criterion import Criterion as Criterion, Round as Round, ScoreCriterion as ScoreCriterion
from pabench.scoring.selection import Selection as Selection, kept_count as kept_count, select as select
from pabench.suite.specs import Augment as Augment, ModelSpec as ModelSpec
