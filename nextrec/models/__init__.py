"""The model zoo: one file a model, grouped by what it is for."""
