"""The base of all metrics, and how their values are shown and kept. Metrics themselves come from plugins."""

from .metric import PairMetric
from .table import metrics_table, write_metrics

__all__ = ["PairMetric", "metrics_table", "write_metrics"]
