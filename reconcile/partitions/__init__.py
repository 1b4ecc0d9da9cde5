"""
The comparison of what does not fit into memory: both sides in partitions by uid, each compared by itself.

`parted` is the export in partitions and `walked` the directory beside it, in the process that asks it; `tasks` are what
is done with one partition, wherever an engine runs it.
"""
