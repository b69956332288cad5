"""Images of results: flows in color, masks, warped sources, sample sheets."""

from .flow import flow_to_rgb, flow_wheel, mask_to_rgb, to_picture, warp
from .sheet import overlay, sample_sheet

__all__ = ["flow_to_rgb", "flow_wheel", "mask_to_rgb", "overlay", "sample_sheet", "to_picture", "warp"]
