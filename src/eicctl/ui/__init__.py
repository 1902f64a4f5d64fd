"""The full-screen console, `eicctl ui`: one pane for each kind of thing, over the same calls as the command line.

The extra `ui` installs Textual. Panes hold no logic of their own: they call `api`, `doctor`, `audit` and `aws`, and
show what these return.
"""

PANES = {
    "instances": "Instances",
    "endpoints": "Endpoints",
    "tunnels": "Tunnels",
    "databases": "Databases",
    "doctor": "Doctor",
    "audit": "Audit",
    "sessions": "Sessions",
}
"""The panes: a module's name, whose `PANE` is the class, and the title. Each is imported when it is first shown."""
