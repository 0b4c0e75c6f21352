"""The same function with fewer channels: what the masks leave without use is taken out of a network."""

from pabench.networks.compact.compact import Compacted as Compacted, compacted as compacted
