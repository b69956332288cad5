"""Evaluation: base classes of metrics, protocols, and their results. Metrics themselves come from plugins."""

from .metric import ImageBatch, ImageMetric, NotComputable, PairMetric, SetMetric, centered_interval
from .protocol import Protocol, PublishedScore, get_protocol, protocols, variations
from .results import Evaluation, ImagePair, Score, read_evaluation
from .table import metrics_table, write_metrics

__all__ = [
    "Evaluation",
    "ImageBatch",
    "ImageMetric",
    "ImagePair",
    "NotComputable",
    "PairMetric",
    "Protocol",
    "PublishedScore",
    "Score",
    "SetMetric",
    "centered_interval",
    "get_protocol",
    "metrics_table",
    "protocols",
    "read_evaluation",
    "variations",
    "write_metrics",
]
