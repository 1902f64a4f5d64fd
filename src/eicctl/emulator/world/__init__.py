"""World files: what is in the emulated account at the start."""
