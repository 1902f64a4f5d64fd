"""OpenSSH on top of tunnels: ephemeral keys, host keys, command lines."""
