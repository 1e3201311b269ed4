"""Convolutional feature maps at a quarter of the picture's size, for token networks.
Reference: ``lib/models/tokenpose_base.py`` and ``hr_base.py`` in leeyegy/TokenPose@2e554fc;
HRNet: Sun et al., "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR
2019."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from pose3d.plugins import import_extra


class Bottleneck(nn.Module):
    """Residual block 1x1, 3x3, 1x1 (He et al. 2016), no stride; ``4 * channels`` come out."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        out = 4 * channels
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            None
            if channels_in == out
            else nn.Sequential(nn.Conv2d(channels_in, out, 1, bias=False), nn.BatchNorm2d(out))
        )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        skip = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + skip)


class StemNet(nn.Module):
    """Two convolutions of stride 2 and four residual blocks: 0.25 M parameters, 256 channels."""

    channels = 256

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(Bottleneck(64, 64), *(Bottleneck(256, 64) for _ in range(3)))

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 256 h/4 w/4"]:
        """Returns the feature map of normalised pictures."""
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.layer1(x)


class HrnetW32(nn.Module):
    """The first three stages of HRNet-W32 (timm's modules): the finest branch, 32 channels.
    What does not reach that branch is left out, as in the published TokenPose-B."""

    channels = 32

    def __init__(self) -> None:
        super().__init__()
        net = _timm_hrnet()
        self.conv1, self.bn1, self.conv2, self.bn2 = net.conv1, net.bn1, net.conv2, net.bn2
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = net.layer1
        self.transition1, self.stage2 = net.transition1, net.stage2
        self.transition2, self.stage3 = net.transition2, net.stage3
        last: Any = self.stage3[-1]
        last.fuse_layers = last.fuse_layers[:1]

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 32 h/4 w/4"]:
        """Returns the feature map of normalised pictures."""
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.layer1(self.relu(self.bn2(self.conv2(x))))
        maps = self.stage2([branch(x) for branch in self.transition1])
        # A third branch begins at the lowest resolution; the others go on.
        maps = [branch(maps[min(i, 1)]) for i, branch in enumerate(self.transition2)]
        return self.stage3(maps)[0]


def _timm_hrnet() -> Any:
    timm = import_extra("timm", "tokenpose", "The backbone HRNet-W32 of TokenPose-B")
    return timm.create_model("hrnet_w32", pretrained=False, head="")


BACKBONES: dict[str, type[StemNet] | type[HrnetW32]] = {"stem": StemNet, "hrnet-w32": HrnetW32}
