"""What a person reads: tables, events, progress, HTML pages, notes and errors. JSON comes from here, too."""
