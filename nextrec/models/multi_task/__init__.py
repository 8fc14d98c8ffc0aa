"""Multi-task models: several predictions a row."""

from nextrec.models.multi_task.poso import POSO
from nextrec.models.multi_task.share_bottom import ShareBottom

__all__ = ["POSO", "ShareBottom"]
