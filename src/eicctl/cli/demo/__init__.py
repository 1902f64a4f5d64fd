"""`eicctl demo`: a stage of its own, and the steps that are played on it."""
