"""Promises of the core: plain values in, plain values out."""
