"""Who may reach what, and who has: network rules, policies, and the audit."""
