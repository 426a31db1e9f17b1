"""Small convolutional networks for patches; importing this module imports torch.

They have group normalisation, which does not mix rows: a batch that is divided among ranks gives what the whole
one gives.
"""

from itertools import pairwise

import torch
from torch import nn


def _block(channels: int, features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, features, 3, stride=2, padding=1),
        nn.GroupNorm(min(8, features), features),
        nn.ReLU(),
    )


class Encoder(nn.Module):
    """Patches to features.

    Parameters
    ----------
    channels : int
        Channels of a patch.
    width : int
        Features of the first of four layers; each halves height and width and doubles the features.
    """

    def __init__(self, channels: int = 1, width: int = 8) -> None:
        super().__init__()
        widths = [channels, width, 2 * width, 4 * width, 8 * width]
        self.layers = nn.Sequential(*(_block(a, b) for a, b in pairwise(widths)))
        self.features = widths[-1]

    def forward(self, patches: torch.Tensor, pooled: bool = True) -> torch.Tensor:
        """Return features of patches, shape (rows, channels, height, width).

        Parameters
        ----------
        patches : torch.Tensor, shape (rows, channels, height, width)
            Patches.
        pooled : bool
            Whether to return the mean over a patch, shape (rows, features), or the map that it is the mean of, shape
            (rows, features, height / 16, width / 16).
        """
        maps = self.layers(patches)
        return maps.mean((2, 3)) if pooled else maps


class Contrastive(nn.Module):
    """An encoder with the projection head of SimCLR.

    Parameters
    ----------
    channels, width : int
        As of :class:`Encoder`.
    """

    def __init__(self, channels: int = 1, width: int = 8) -> None:
        super().__init__()
        self.encoder = Encoder(channels, width)
        features = self.encoder.features
        self.head = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, 32))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Return embeddings, shape (rows, 32)."""
        return self.head(self.encoder(patches))


class Restoring(nn.Module):
    """An encoder with a decoder that paints what was masked.

    Parameters
    ----------
    channels, width : int
        As of :class:`Encoder`.
    """

    def __init__(self, channels: int = 1, width: int = 8) -> None:
        super().__init__()
        self.encoder = Encoder(channels, width)
        widths = [8 * width, 4 * width, 2 * width, width]
        layers: list[nn.Module] = []
        for wide, narrow in zip(widths, [*widths[1:], width], strict=True):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(wide, narrow, 3, padding=1), nn.ReLU()]
        self.decoder = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Return restored patches, of the same shape; height and width are multiples of 16."""
        return self.decoder(self.encoder(patches, pooled=False))


class Classifier(nn.Module):
    """An encoder with a linear layer.

    Parameters
    ----------
    classes : int
        Number of classes.
    channels, width : int
        As of :class:`Encoder`.
    """

    def __init__(self, classes: int = 2, channels: int = 1, width: int = 8) -> None:
        super().__init__()
        self.encoder = Encoder(channels, width)
        self.head = nn.Linear(self.encoder.features, classes)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Return the logits of the classes, shape (rows, classes)."""
        return self.head(self.encoder(patches))
