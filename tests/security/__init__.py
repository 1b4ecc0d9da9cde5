"""The promises S1 to S11 of docs/promises.md."""
