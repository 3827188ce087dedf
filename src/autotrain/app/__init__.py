"""The web page and the REST API: a front door like the command line, on the same parameters, checks and runs."""
