"""Metrics, protocols and data sets: how good the results are."""
