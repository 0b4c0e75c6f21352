"""What the server of worker processes does once, so that none of its children has to: imported there and nowhere else.

Nothing is imported that is not ours or a library of ours: a plugin of others runs in children alone.
"""

from __future__ import annotations

from torch.utils import flop_counter as flop_counter

from pabench import registry
from pabench.run import worker as worker
from pabench.suite import entries as entries  # pydantic reads of all distributions whether they are its plugins
from pabench.training import check as check, measure as measure, prune as prune, train as train

registry.installed()
