"""The engine: steps, the runner that executes them, and the ledger that accounts for each row."""
