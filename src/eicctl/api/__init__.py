"""What programs do with tunnels: open one, get a socket, wait for a machine. `eicctl` itself shows the public names."""
