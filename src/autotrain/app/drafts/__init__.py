"""A run that is being put together: what was chosen so far, what it comes to, and what is wrong with it."""
