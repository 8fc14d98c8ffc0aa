"""The command line: configs in YAML, checked whole before anything runs."""
