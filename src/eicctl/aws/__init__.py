"""The control plane: everything that calls botocore, and nothing else does."""
