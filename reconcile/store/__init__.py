"""What a run leaves behind: the state file, the artefacts of a run, and the locks while it is at work."""
