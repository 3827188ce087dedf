"""中文: one table a page, with the keys and placeholders of the English one."""
