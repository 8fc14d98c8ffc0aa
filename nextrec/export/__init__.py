"""Models in other runtimes' formats."""

from nextrec.export.onnx import export_onnx

__all__ = ["export_onnx"]
