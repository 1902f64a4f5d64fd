"""IAM policies for connections: written, linted, and checked by IAM's simulator."""
