"""Learning from few labelled and many unlabelled patches, in torch: pseudo-label consistency, and the mean teacher.

Both are ordinary oblivious training functions: they run alone, as trials of a search, and in every distributed mode.
The dataset is ``(labelled, unlabelled, validation)``: labelled and validation rows are pairs of a patch and its class,
the unlabelled ones patches alone.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from deepcube.oblivious.errors import ExperimentConfigError
from deepcube.oblivious.reporter import Reporter
from deepcube.oblivious.selfsupervised import Draws, check_even, random_view

_STRONG_NOISE = 0.3


def pseudo_label_loss(weak: Any, strong: Any, threshold: float) -> Any:
    """Return the consistency loss of FixMatch (Sohn et al., 2020, arXiv 2001.07685, eq. 4).

    Parameters
    ----------
    weak, strong : torch.Tensor, shape (rows, classes)
        Logits of a weakly and a strongly changed view of the same patches.
    threshold : float
        Only rows whose most probable class has at least this probability count.

    Returns
    -------
    torch.Tensor
        Cross-entropy of the strong view with the class of the weak one, summed over the rows that count, divided by
        all.
    """
    import torch

    with torch.no_grad():
        confidence, classes = weak.softmax(1).max(1)
    each = torch.nn.functional.cross_entropy(strong, classes, reduction="none")
    return (each * (confidence >= threshold)).mean()


def teacher_loss(student: Any, teacher: Any) -> Any:
    """Return the mean squared difference of class probabilities (Tarvainen and Valpola, 2017, arXiv 1703.01780).

    Parameters
    ----------
    student, teacher : torch.Tensor, shape (rows, classes)
        Logits; no gradient flows to the teacher.
    """
    return ((student.softmax(1) - teacher.detach().softmax(1)) ** 2).mean()


def follow(teacher: Any, student: Any, decay: float) -> None:
    """Move a teacher's weights towards the student's: ``decay * teacher + (1 - decay) * student``."""
    import torch

    with torch.no_grad():
        for kept, new in zip(teacher.parameters(), student.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)


def consistency_train_fn(
    model: Callable[..., Any], dataset: Any, hparams: Mapping[str, Any], reporter: Reporter, seed: int
) -> dict[str, float]:
    """Train a classifier by pseudo-label consistency.

    Parameters
    ----------
    model : callable
        Builds a classifier: ``network(patches)`` gives logits, for example
        :class:`~deepcube.oblivious.networks.Classifier`.
    dataset : tuple
        ``(labelled, unlabelled, validation)``.
    hparams : mapping
        ``epochs``, ``batch_size`` (labelled rows), ``unlabelled_batch_size``, ``learning_rate``, ``weight`` of the
        unlabelled loss, ``threshold``.
    reporter : Reporter
        Told the validation accuracy after each epoch.
    seed : int
        Seed of the views.

    Returns
    -------
    dict of str to float
        ``accuracy`` on the validation rows, and ``loss``, the mean of the last epoch.
    """

    def unlabelled_loss(network: Any, patches: Any, draws: Draws) -> Any:
        weak = network(random_view(patches, draws))
        strong = network(random_view(patches, draws, noise=_STRONG_NOISE))
        return pseudo_label_loss(weak, strong, hparams["threshold"])

    return _train(model, dataset, hparams, reporter, seed, unlabelled_loss, lambda network: None)


def mean_teacher_train_fn(
    model: Callable[..., Any], dataset: Any, hparams: Mapping[str, Any], reporter: Reporter, seed: int
) -> dict[str, float]:
    """Train a classifier that agrees with the moving average of itself.

    Parameters
    ----------
    model, dataset, reporter, seed
        As of :func:`consistency_train_fn`.
    hparams : mapping
        ``epochs``, ``batch_size`` (labelled rows), ``unlabelled_batch_size``, ``learning_rate``, ``weight`` of the
        unlabelled loss, ``decay`` of the teacher.

    Returns
    -------
    dict of str to float
        ``accuracy`` of the student on the validation rows, and its ``loss``, the mean of the last epoch.
    """
    teacher = model()

    def unlabelled_loss(network: Any, patches: Any, draws: Draws) -> Any:
        import torch

        with torch.no_grad():
            target = teacher(random_view(patches, draws))
        return teacher_loss(network(random_view(patches, draws)), target)

    def after_step(network: Any) -> None:
        follow(teacher, network, hparams["decay"])

    def begin(network: Any) -> None:
        follow(teacher, network, 0.0)

    return _train(model, dataset, hparams, reporter, seed, unlabelled_loss, after_step, begin)


def _train(
    model: Any,
    dataset: Any,
    hparams: Any,
    reporter: Any,
    seed: int,
    unlabelled_loss: Any,
    after_step: Any,
    begin: Any = lambda network: None,
) -> dict[str, float]:
    import torch

    labelled, unlabelled, validation = dataset
    network = model()
    begin(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=hparams["learning_rate"])
    known = torch.utils.data.DataLoader(labelled, hparams["batch_size"], shuffle=True, drop_last=True)
    unknown = torch.utils.data.DataLoader(unlabelled, hparams["unlabelled_batch_size"], shuffle=True, drop_last=True)
    held_out = torch.utils.data.DataLoader(validation, 256)
    if not len(known) or not len(unknown):
        raise ExperimentConfigError(
            f"Found {len(labelled)} labelled and {len(unlabelled)} unlabelled rows; expected a batch of each at least."
        )
    check_even(known, unknown)
    draws = Draws(seed)
    accuracy = loss_of_epoch = float("nan")
    labelled_batches = _for_ever(known)
    for epoch in range(hparams["epochs"]):
        network.train()
        losses = []
        for patches in unknown:
            rows, classes = next(labelled_batches)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(random_view(rows, draws)), classes)
            loss = loss + hparams["weight"] * unlabelled_loss(network, patches, draws)
            loss.backward()
            optimizer.step()
            after_step(network)
            losses.append(loss.item())
        loss_of_epoch = sum(losses) / len(losses)
        network.eval()
        with torch.no_grad():
            right = [(network(rows).argmax(1) == classes).float() for rows, classes in held_out]
        accuracy = float(torch.cat(right).mean())
        reporter.broadcast(accuracy, epoch)
    return {"accuracy": accuracy, "loss": loss_of_epoch}


def _for_ever(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader
