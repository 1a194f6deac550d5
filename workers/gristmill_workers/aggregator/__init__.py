"""The aggregator: merges a job's parts into its output, once."""

from gristmill_workers.aggregator.aggregate import aggregate

__all__ = ["aggregate"]
