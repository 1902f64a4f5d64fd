"""The control plane: everything that calls boto3, and nothing else does."""
