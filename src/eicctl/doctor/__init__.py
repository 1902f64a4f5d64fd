"""Diagnosis: checks AWS, the connectivity to the endpoint and the tunnel, and names the likely cause of a failure."""
