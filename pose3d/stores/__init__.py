"""Inputs and outputs in object stores and on servers: whatever fsspec knows by an address."""
