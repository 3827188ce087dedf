"""English: one table a page, {"<page>.<name>": text}."""
