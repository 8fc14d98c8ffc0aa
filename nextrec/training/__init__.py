"""The loop and what stands around it: trainer, callbacks, checkpoints, sessions, reports."""
