"""Parts that pages are made of; those with a JavaScript file have it beside them."""
