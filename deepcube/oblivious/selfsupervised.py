"""Learning from cube patches without labels: contrastive (SimCLR) and by masked autoencoding (MAE), in torch.

Both are ordinary oblivious training functions: they run alone, as trials of a search, and in every distributed mode.
The dataset is a float32 tensor of patches, shape (rows, channels, height, width), or anything indexable that yields
them.

What is learnt is judged by a linear probe (:func:`linear_probe`) beside the same network with random weights.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from deepcube.oblivious.errors import ExperimentConfigError
from deepcube.oblivious.reporter import Reporter

WEIGHTS_FILE = "encoder.pt"
"""The trained encoder's state, in the run's folder."""


def contrastive_loss(one: Any, other: Any, temperature: float) -> Any:
    """Return the NT-Xent loss of SimCLR (Chen et al., 2020, arXiv 2002.05709, eq. 1) with negatives of all ranks.

    Parameters
    ----------
    one, other : torch.Tensor, shape (rows, features)
        Embeddings of two views of the same patches, this rank's rows. All ranks must have equally many.
    temperature : float
        Divides the cosine similarities.

    Returns
    -------
    torch.Tensor
        The mean over this rank's rows; the mean of the ranks' values is the loss over the global batch, and so are the
        gradients.
    """
    import torch

    rank, ranks = _rank()
    rows = len(one)
    first, second = (torch.nn.functional.normalize(each, dim=1) for each in (one, other))
    everything = torch.cat([gather_rows(first), gather_rows(second)])
    own = torch.cat([first, second])
    place = torch.arange(rows, device=own.device) + rank * rows
    places = torch.cat([place, place + ranks * rows])
    partners = torch.cat([place + ranks * rows, place])
    logits = own @ everything.T / temperature
    logits = logits.scatter(1, places[:, None], float("-inf"))
    return torch.nn.functional.cross_entropy(logits, partners)


def gather_rows(rows: Any) -> Any:
    """Return the rows of all ranks, shape (ranks * rows, features); gradients flow back to the rank they came from."""
    import torch
    import torch.distributed as dist

    if _rank()[1] == 1:
        return rows

    class Gather(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, tensor: Any) -> Any:
            gathered = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
            dist.all_gather(gathered, tensor.contiguous())
            return torch.cat(gathered)

        @staticmethod
        def backward(context: Any, gradient: Any) -> Any:
            total = gradient.contiguous().clone()
            dist.all_reduce(total)
            size = len(total) // dist.get_world_size()
            return total[dist.get_rank() * size : (dist.get_rank() + 1) * size]

    return Gather.apply(rows)


class Draws:
    """Random numbers for the rows of a batch: the same ones whether one process has all rows or each rank its part.

    Parameters
    ----------
    seed : int
        Seed; the same in every rank.
    """

    def __init__(self, seed: int) -> None:
        import torch

        self._generator = torch.Generator().manual_seed(seed)

    def uniform(self, rows: int, *shape: int) -> Any:
        """Return numbers from 0 to 1 for this rank's rows, shape (rows, *shape)."""
        import torch

        rank, ranks = _rank()
        return torch.rand(rows * ranks, *shape, generator=self._generator)[rank * rows : (rank + 1) * rows]

    def normal(self, rows: int, *shape: int) -> Any:
        """Return standard normal numbers for this rank's rows, shape (rows, *shape)."""
        import torch

        rank, ranks = _rank()
        return torch.randn(rows * ranks, *shape, generator=self._generator)[rank * rows : (rank + 1) * rows]

    def integer(self, low: int, high: int) -> int:
        """Return one number from ``low`` to ``high - 1`` for all rows of all ranks."""
        import torch

        return int(torch.randint(low, high, (), generator=self._generator))


def random_view(patches: Any, draws: Draws, noise: float = 0.05) -> Any:
    """Return a random view of patches: quarter turn, flip and shift of the batch, gain and noise of each row.

    Parameters
    ----------
    patches : torch.Tensor, shape (rows, channels, height, width)
        Patches; height equal to width.
    draws : Draws
        Where the randomness comes from.
    noise : float
        Standard deviation of the added noise, in the unit of the patches.
    """
    import torch

    changed = torch.rot90(patches, draws.integer(0, 4), (2, 3))
    if draws.integer(0, 2):
        changed = changed.flip(3)
    changed = torch.roll(changed, (draws.integer(-4, 5), draws.integer(-4, 5)), (2, 3))
    gain = 0.9 + 0.2 * draws.uniform(len(patches), 1, 1, 1)
    return changed * gain + noise * draws.normal(*changed.shape)


def masked_loss(patches: Any, restored: Any, mask: Any) -> Any:
    """Return the mean squared error over masked pixels only (He et al., 2022, Masked Autoencoders, 3).

    Parameters
    ----------
    patches, restored : torch.Tensor, shape (rows, channels, height, width)
        Truth and reconstruction.
    mask : torch.Tensor of bool, shape (rows, 1, height, width)
        True where the network could not see.
    """
    weight = mask.to(patches.dtype)
    return ((restored - patches) ** 2 * weight).sum() / (weight.sum() * patches.shape[1]).clamp(min=1.0)


def block_mask(patches: Any, block: int, share: float, draws: Draws) -> Any:
    """Return a mask of whole blocks, the same number in every row.

    Parameters
    ----------
    patches : torch.Tensor, shape (rows, channels, height, width)
        What is masked; height and width are multiples of ``block``.
    block : int
        Edge of a block, pixels.
    share : float
        Masked share of the blocks, between 0 and 1.
    draws : Draws
        Where the randomness comes from.

    Returns
    -------
    torch.Tensor of bool, shape (rows, 1, height, width)
        True where masked.
    """
    rows, high, wide = len(patches), patches.shape[2] // block, patches.shape[3] // block
    order = draws.uniform(rows, high * wide).argsort(1).argsort(1)
    masked = (order < round(share * high * wide)).view(rows, 1, high, wide)
    return masked.repeat_interleave(block, 2).repeat_interleave(block, 3)


def contrastive_train_fn(
    model: Callable[..., Any], dataset: Any, hparams: Mapping[str, Any], reporter: Reporter, seed: int
) -> dict[str, float]:
    """Pre-train by SimCLR.

    Parameters
    ----------
    model : callable
        Builds :class:`~deepcube.oblivious.networks.Contrastive` or the like: ``network(patches)`` gives embeddings.
    dataset : sequence of float32 tensor, shape (channels, height, width)
        Patches.
    hparams : mapping
        ``epochs``, ``batch_size``, ``learning_rate``, ``temperature``.
    reporter : Reporter
        Told the mean loss after each epoch.
    seed : int
        Seed of the views.

    Returns
    -------
    dict of str to float
        ``loss``: that of the last epoch.
    """

    def loss_of(network: Any, patches: Any, draws: Draws) -> Any:
        one, other = random_view(patches, draws), random_view(patches, draws)
        embedded = network(_interleave(one, other))
        return contrastive_loss(embedded[0::2], embedded[1::2], hparams["temperature"])

    return _train(model, dataset, hparams, reporter, seed, loss_of)


def masked_train_fn(
    model: Callable[..., Any], dataset: Any, hparams: Mapping[str, Any], reporter: Reporter, seed: int
) -> dict[str, float]:
    """Pre-train by masked autoencoding.

    Parameters
    ----------
    model : callable
        Builds :class:`~deepcube.oblivious.networks.Restoring` or the like: ``network(patches)`` gives patches.
    dataset : sequence of float32 tensor, shape (channels, height, width)
        Patches.
    hparams : mapping
        ``epochs``, ``batch_size``, ``learning_rate``, ``block`` (pixels) and ``share`` of masked blocks.
    reporter : Reporter
        Told the mean loss after each epoch.
    seed : int
        Seed of the masks.

    Returns
    -------
    dict of str to float
        ``loss``: that of the last epoch.
    """

    def loss_of(network: Any, patches: Any, draws: Draws) -> Any:
        mask = block_mask(patches, hparams["block"], hparams["share"], draws)
        return masked_loss(patches, network(patches.masked_fill(mask, 0.0)), mask)

    return _train(model, dataset, hparams, reporter, seed, loss_of)


def _train(model: Any, dataset: Any, hparams: Any, reporter: Any, seed: int, loss_of: Any) -> dict[str, float]:
    import torch

    network = model()
    optimizer = torch.optim.Adam(network.parameters(), lr=hparams["learning_rate"])
    loader = torch.utils.data.DataLoader(dataset, hparams["batch_size"], shuffle=True, drop_last=True)
    if not len(loader):
        raise ExperimentConfigError(
            f"Found {len(dataset)} patches for batches of {hparams['batch_size']}; expected one batch at least."
        )
    check_even(loader)
    draws = Draws(seed)
    loss = float("nan")
    for epoch in range(hparams["epochs"]):
        losses = []
        for patches in loader:
            optimizer.zero_grad()
            value = loss_of(network, patches, draws)
            value.backward()
            optimizer.step()
            losses.append(value.item())
        loss = float(np.mean(losses))
        reporter.broadcast(loss, epoch)
    weights = getattr(network, "module", network).encoder.state_dict()
    # What is spread over ranks is gathered, with the other ranks.
    weights = {name: each.full_tensor() if hasattr(each, "full_tensor") else each for name, each in weights.items()}
    if reporter.rank == 0:
        torch.save(weights, reporter.directory / WEIGHTS_FILE)
    return {"loss": loss}


def linear_probe(
    encoder: Any, train: tuple[Any, npt.NDArray[np.int_]], test: tuple[Any, npt.NDArray[np.int_]]
) -> float:
    """Return the balanced accuracy of a linear classifier on frozen features.

    Parameters
    ----------
    encoder : torch.nn.Module
        Gives features, shape (rows, features).
    train, test : tuple of torch.Tensor and numpy.ndarray of int
        Patches and their classes. Features are normalised by the training rows.

    Returns
    -------
    float
        Mean over classes of the share of their test rows that is recognised, from 0 to 1; chance is one over the number
        of classes.
    """
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    encoder.eval()
    with torch.no_grad():
        features = [torch.cat([encoder(chunk) for chunk in each.split(256)]).numpy() for each, _ in (train, test)]
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000, class_weight="balanced"))
    probe.fit(features[0], train[1])
    return float(balanced_accuracy_score(test[1], probe.predict(features[1])))


def check_even(*loaders: Any) -> None:
    """Check that every rank gets as many rows of each batch, which the draws and the negatives need.

    Raises
    ------
    ExperimentConfigError
        If a batch cannot be divided evenly among the ranks.
    """
    ranks = _rank()[1]
    for loader in loaders:
        batches = getattr(loader.batch_sampler, "batches", loader.batch_sampler)
        if batches.batch_size % ranks:
            raise ExperimentConfigError(
                f"Found batches of {batches.batch_size} for {ranks} ranks; expected a multiple of the number of ranks."
            )


def _interleave(one: Any, other: Any) -> Any:
    """Return rows one, other, one, other, so that the embeddings come from one call of the network."""
    import torch

    return torch.stack([one, other], 1).flatten(0, 1)


def _rank() -> tuple[int, int]:
    import torch.distributed as dist

    together = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if together else (0, 1)
