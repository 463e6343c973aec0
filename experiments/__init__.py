"""The runner: a preset plans tasks, the engine runs them, the store keeps their rows, tables and figures show them."""
