"""Whether packets get from one address to another: network facts, evaluated without I/O."""
