"""Manual pages: how one is written, shown and put where man(1) finds it."""
