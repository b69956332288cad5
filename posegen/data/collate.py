"""Register the functions that stack records into batches, so that data loaders in configs name them."""

from ..records import collate_clips, collate_pairs
from ..registry import FUNCTIONS

FUNCTIONS.register_module(module=collate_pairs)
FUNCTIONS.register_module(module=collate_clips)
