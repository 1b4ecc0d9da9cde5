"""Random worlds: the whole job against an oracle that is written apart from it."""
