"""Forwarding through one SSH connection to an instance, by asyncssh."""
