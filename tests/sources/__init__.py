"""Promises of the readers of exports, each made over a real file."""
