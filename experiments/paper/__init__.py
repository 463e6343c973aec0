"""The study of the paper: its presets, its numbers beside ours, and the report."""
