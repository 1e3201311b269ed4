"""Weights by name: what exists, where it lies, how it is fetched and checked."""
