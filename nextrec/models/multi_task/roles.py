"""The groups of features by role that some multi-task models take."""

from __future__ import annotations

from nextrec.errors import FeatureError
from nextrec.models.base import BaseModel


def require_groups(model: BaseModel) -> None:
    """Refuse a model without a feature in one of its groups.

    Raises:
        FeatureError: see above.
    """
    for group, features in model.feature_groups.items():
        if not len(features):
            raise FeatureError(f"{model.model_name} needs at least one {group} feature.")
