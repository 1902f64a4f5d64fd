"""A user's background process: it serves `eicctl proxy` without start-up costs, and holds detached tunnels."""
