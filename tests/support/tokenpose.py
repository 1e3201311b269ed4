"""What tests of TokenPose share."""

from pose3d.networks2d.tokenpose.options import TokenPoseOptions

SMALL = TokenPoseOptions(
    size_wh=(96, 128), dim=32, depth=2, heads=4, hidden=96, heatmap_wh=(24, 32)
)
"""A network that runs in milliseconds."""
