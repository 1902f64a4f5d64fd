"""The machines: services that stand for instances, from an SSH server to a greeting of RDP."""
