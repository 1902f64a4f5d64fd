"""The data plane: websockets in, connections to the machines out."""
