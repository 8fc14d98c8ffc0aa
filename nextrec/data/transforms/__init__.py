"""Transforms of columns, their states, and how both are kept."""
