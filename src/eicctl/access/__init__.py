"""Who may reach what: the evaluation of network rules. Pure; nothing here reads or writes anything."""
