"""Which file, or which hub data set, a path and a split stand for.  The front doors ask too, so it lies in config."""

from autotrain.config.data_files import HubSplit, describe_missing, locate, parse_hub_split

__all__ = ["HubSplit", "describe_missing", "locate", "parse_hub_split"]
