"""One page to look at a result from all sides, without a network."""
