"""The promises about security of docs/promises.md, one file each."""
