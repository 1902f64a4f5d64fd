"""The control plane: moto, and the parts of EICE that moto lacks."""
