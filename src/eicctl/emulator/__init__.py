"""A local AWS: control plane, data plane and instances. Imports nothing of aws, tunnel or ssh."""
