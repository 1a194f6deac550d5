"""A node: instances, scorers, and the aggregator."""
