"""The networks of the zoo by name."""

from __future__ import annotations

from kerasjoint.registry import Registry

NETWORKS = Registry(
    "network",
    {
        "convolutional": (
            "kerasjoint.models.networks:convolutional_network",
            "VGG-style blocks (convolution, batch normalisation, ReLU, max-pooling) and two dense layers, 1D or 2D",
        ),
        "dense": (
            "kerasjoint.models.networks:dense_network",
            "positional encoding and three sigmoid layers",
        ),
        "residual": (
            "kerasjoint.models.networks:residual_network",
            "residual blocks of fully-connected layers with layer normalisation, for instances never trained on",
        ),
        "circular": (
            "kerasjoint.models.circular:circular_network",
            "residual blocks of convolutions around a periodic axis, for unknown fields that turn with the observation",
        ),
    },
)


def check_network(network: str) -> str:
    """Return the name of a network, or ``"auto"``, which chooses one by the shapes of the inputs."""
    return network if isinstance(network, str) and network == "auto" else NETWORKS.check(network)
