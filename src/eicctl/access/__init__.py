"""Who may reach what: the evaluation of network rules, and what is built on it."""
