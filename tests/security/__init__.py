"""Promises of docs/security.md, one file each."""
