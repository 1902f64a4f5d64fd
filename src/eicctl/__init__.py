"""Reach machines in private AWS subnets through EC2 Instance Connect Endpoint (EICE)."""

__version__ = "0.1.0"
