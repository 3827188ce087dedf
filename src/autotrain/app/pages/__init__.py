"""The pages.  Every module here with `register(state)` declares its own; the folder is the registry."""
