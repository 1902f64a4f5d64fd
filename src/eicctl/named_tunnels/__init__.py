"""Named tunnels: what their files say, how one is opened, and how several are kept open."""
