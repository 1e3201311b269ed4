"""Weights by name: what exists, where it lies, how it is fetched and checked.

Nothing is ever loaded without its hash being right, where a hash is known.
"""
