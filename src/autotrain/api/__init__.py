"""On a machine in the cloud: run what the environment says, show how far it is, report how it ended."""
