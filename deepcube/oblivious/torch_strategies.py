"""Data-parallel and sharded training in torch, around an unchanged training function.

The worker's ``DataLoader`` gives each rank its part of every global batch, the model's factory wraps what it builds,
and for ZeRO the worker's optimizer classes shard themselves. All of it happens in worker processes only.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from deepcube.oblivious.checkpoints import Checkpoints
from deepcube.oblivious.errors import ExperimentConfigError
from deepcube.oblivious.strategies import Address, Strategy, peak_memory

_TIMEOUT = timedelta(minutes=30)


class TorchStrategy(Strategy):
    """What all strategies of torch share: a process group, a sharing loader, a wrapping factory."""

    framework: ClassVar[str] = "torch"

    def join(self, rank: int, addresses: Sequence[Address]) -> None:
        """Form a process group: NCCL where there are GPUs, else gloo."""
        import torch
        import torch.distributed as dist

        host, port = addresses[0]
        os.environ.update(MASTER_ADDR=host, MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(len(addresses)))
        os.environ.setdefault("LOCAL_RANK", str(rank))
        os.environ.pop("TORCHELASTIC_USE_AGENT_STORE", None)  # of torchrun, whose agent does not listen at that address
        self.rank = rank
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if self.device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        dist.init_process_group("nccl" if self.device == "cuda" else "gloo", timeout=_TIMEOUT)
        self.share = _Share(rank, len(addresses), self.per_rank_batches, self.split_evaluation)
        self.share.install()
        self.optimizers: list[Any] = []
        self.models: list[Any] = []
        _follow_optimizers(self.optimizers)

    def leave(self) -> None:
        """Leave the process group, after all others have come as far."""
        import torch.distributed as dist

        dist.barrier()
        dist.destroy_process_group()

    def wrap(self, parts: Mapping[str, Any], seed: int) -> Mapping[str, Any]:
        """Wrap the model's factory."""
        build = parts["model"]
        if build is None:
            return parts

        def factory(*args: Any, **options: Any) -> Any:
            model = build(*args, **options).to(self.device)
            model.register_forward_hook(self.share.weigh)
            wrapped = self.distribute(model)
            self.models.append(wrapped)
            return wrapped

        return {**parts, "model": factory}

    def distribute(self, model: Any) -> Any:
        """Return a model whose ranks train together."""
        raise NotImplementedError

    def reduce(self, value: float) -> float:
        """Return the mean over ranks."""
        import torch
        import torch.distributed as dist

        total = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return float(total.item() / dist.get_world_size())

    def checkpoints(self, folder: Path) -> Checkpoints:
        """Return checkpoints that gather what is sharded."""
        return TorchCheckpoints(folder, self.rank)

    def stats(self) -> dict[str, float]:
        """Return elements of parameters and optimizer state held by this rank, and its peak memory (MiB)."""
        held = {"peak_mib": peak_memory()}
        inner = [each for each in self.optimizers if type(each).__name__ != "ZeroRedundancyOptimizer"]
        if inner:
            states = (state for state in inner[-1].state.values())
            held["optimizer_elements"] = sum(
                _local(value).numel() for state in states for key, value in state.items() if _counts(key, value)
            )
        if self.models:
            held["parameter_elements"] = sum(_local(each).numel() for each in self.models[-1].parameters())
        return held


class DataParallel(TorchStrategy):
    """A copy of the model in every rank (DistributedDataParallel); the model gets wrapped in a module of its own."""

    name = "ddp"

    def distribute(self, model: Any) -> Any:
        """Wrap the model in DistributedDataParallel."""
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(model)


class Replicate(TorchStrategy):
    """A copy of the model in every rank (``replicate``); the model keeps its class and its attributes."""

    name = "replicate"

    def distribute(self, model: Any) -> Any:
        """Make the model replicate itself."""
        from torch.distributed._composable.replicate import replicate

        return replicate(model)


class ZeroRedundancy(DataParallel):
    """ZeRO stage 1 (Rajbhandari et al., 2020): every rank keeps a part of the optimizer's state."""

    name = "zero1"

    def join(self, rank: int, addresses: Sequence[Address]) -> None:
        """Form the process group, and make the optimizers of ``torch.optim`` share their state."""
        super().join(rank, addresses)
        _shard_optimizers()


class FullySharded(TorchStrategy):
    """FSDP2 (``fully_shard``): every rank keeps a part of parameters, gradients and optimizer state.

    Parameters
    ----------
    units : sequence of str
        Names of the classes of modules that are gathered one at a time, for example ``("TransformerBlock",)``; by
        default the model's direct children that have parameters.
    """

    name = "fsdp2"

    def __init__(self, units: Sequence[str] = ()) -> None:
        super().__init__()
        self.units = tuple(units)

    def environment(self, ranks: int) -> dict[str, str]:
        """Have glibc give large tensors, such as gathered parameters, back to the system as soon as they are freed.

        Its ``malloc`` raises that threshold to the size of what was freed, 32 MiB at most, and then keeps what is below
        it in heaps that fragment: a rank's peak was 1.5 times that of ``ddp``. With a fixed threshold it is well below,
        and as fast as long as smaller tensors stay in heaps that are not trimmed at every step (mallopt(3),
        ``M_MMAP_THRESHOLD`` and ``M_TRIM_THRESHOLD``; ``python -m benchmarks.oblivious memory parallel``).
        """
        return {"MALLOC_MMAP_THRESHOLD_": str(8 * 1024**2), "MALLOC_TRIM_THRESHOLD_": str(128 * 1024**2)}

    def distribute(self, model: Any) -> Any:
        """Shard the model over all ranks."""
        import torch.distributed as dist
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self.device, (dist.get_world_size(),))
        chosen = (
            [each for each in model.modules() if type(each).__name__ in self.units]
            if self.units
            else [each for each in model.children() if next(each.parameters(), None) is not None]
        )
        for each in chosen:
            fully_shard(each, mesh=mesh)
        return fully_shard(model, mesh=mesh)


class TorchCheckpoints(Checkpoints):
    """Gathers states that are spread over ranks, so that a checkpoint does not depend on their number."""

    def gather(self, name: str, each: Any) -> Any:
        """Return the whole state."""
        if hasattr(each, "consolidate_state_dict"):
            each.consolidate_state_dict(to=0)
            return each.state_dict() if self.rank == 0 else {}
        return _map_tensors(super().gather(name, each), _whole)

    def scatter(self, each: Any, state: Any) -> None:
        """Bring the whole state into an object, each rank its part."""
        import torch
        from torch.distributed.tensor import DTensor, distribute_tensor

        if isinstance(each, torch.optim.Optimizer) and not hasattr(each, "consolidate_state_dict"):
            owned = [parameter for group in each.param_groups for parameter in group["params"]]
            for index, moments in state["state"].items():
                like = owned[int(index)]
                if isinstance(like, DTensor):
                    for key, value in moments.items():
                        if getattr(value, "shape", None) == like.shape:
                            moments[key] = distribute_tensor(value, like.device_mesh, like.placements)
        elif isinstance(each, torch.nn.Module):
            own = each.state_dict()
            for key, value in state.items():
                if isinstance(own.get(key), DTensor):
                    state[key] = distribute_tensor(value, own[key].device_mesh, own[key].placements)
        each.load_state_dict(state)

    def barrier(self) -> None:
        """Wait for the other ranks."""
        import torch.distributed as dist

        dist.barrier()


class _Share:
    """The part of every batch that is this rank's."""

    def __init__(self, rank: int, ranks: int, per_rank: bool, split_evaluation: bool) -> None:
        self.rank, self.ranks, self.per_rank, self.split_evaluation = rank, ranks, per_rank, split_evaluation
        self.weight = 1.0
        """Weight of this rank's rows of the current batch: 1 where all ranks have equally many."""

    def install(self) -> None:
        """Make every DataLoader of this process read this rank's part."""
        from torch.utils import data

        share, build, iterate = self, data.DataLoader.__init__, data.DataLoader.__iter__

        def init(loader: Any, dataset: Any, batch_size: Any = 1, shuffle: Any = None, sampler: Any = None,
                 batch_sampler: Any = None, **options: Any) -> None:  # fmt: skip
            if isinstance(dataset, data.IterableDataset) or (batch_size is None and batch_sampler is None):
                raise ExperimentConfigError(
                    "Found a DataLoader over an IterableDataset, or without batches; expected a dataset with rows, so "
                    "that every rank can read its part. Pass one with __getitem__ and __len__."
                )
            if batch_sampler is None:
                if sampler is None:
                    generator = options.get("generator")
                    sampler = (
                        data.RandomSampler(dataset, generator=generator) if shuffle else data.SequentialSampler(dataset)
                    )
                rows = batch_size * share.ranks if share.per_rank else batch_size
                batch_sampler = data.BatchSampler(sampler, rows, options.pop("drop_last", False))
            options.pop("drop_last", None)
            build(loader, dataset, batch_sampler=_Batches(batch_sampler, share), **options)

        def read(loader: Any) -> Iterator[Any]:
            batches = loader.batch_sampler
            if not isinstance(batches, _Batches):
                return iterate(loader)
            return batches.weighed(iterate(loader))

        data.DataLoader.__init__ = init
        data.DataLoader.__iter__ = read

    def part(self, batch: Sequence[Any]) -> tuple[list[Any], float]:
        """Return this rank's rows of a global batch, and their weight."""
        rows = len(batch)
        start, stop = rows * self.rank // self.ranks, rows * (self.rank + 1) // self.ranks
        if start == stop:
            return [batch[0]], 0.0  # takes part, but counts for nothing
        return list(batch[start:stop]), (stop - start) * self.ranks / rows

    def weigh(self, module: Any, inputs: Any, output: Any) -> Any:
        """Scale what flows back through a model's output, so that the mean over ranks is the mean over rows."""
        import torch

        if self.weight == 1.0 or not torch.is_grad_enabled():
            return output
        weight = self.weight
        return _map_tensors(output, lambda tensor: _Scaled.apply(tensor, weight))


class _Batches:
    """A batch sampler that yields this rank's part of another one's batches."""

    def __init__(self, batches: Any, share: _Share) -> None:
        self.batches, self.share = batches, share
        self.weights: deque[float] = deque()

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Any]]:
        import torch

        whole = not torch.is_grad_enabled() and not self.share.split_evaluation
        self.weights.clear()
        for batch in self.batches:
            rows, weight = (list(batch), 1.0) if whole else self.share.part(batch)
            self.weights.append(weight)
            yield rows

    def weighed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Set the weight of each batch as it is used; loader processes read ahead."""
        for batch in batches:
            self.share.weight = self.weights.popleft()
            yield batch
        self.share.weight = 1.0


def _scaled() -> Any:
    import torch

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, tensor: Any, weight: float) -> Any:
            context.weight = weight
            return tensor.view_as(tensor)

        @staticmethod
        def backward(context: Any, gradient: Any) -> Any:
            return gradient * context.weight, None

    return Scaled


class _Lazy:
    """Makes the autograd function when torch is there."""

    made: Any = None

    def apply(self, *args: Any) -> Any:
        self.made = self.made or _scaled()
        return self.made.apply(*args)


_Scaled = _Lazy()


def _follow_optimizers(found: list[Any]) -> None:
    """Remember the optimizers that the training function makes, to count their state."""
    from torch.optim import Optimizer

    init = Optimizer.__init__

    def remember(optimizer: Any, *args: Any, **options: Any) -> None:
        found.append(optimizer)
        init(optimizer, *args, **options)

    Optimizer.__init__ = remember


def _shard_optimizers() -> None:
    """Make ``AdamW(parameters, ...)`` and its like return a ZeroRedundancyOptimizer around themselves."""
    import inspect

    from torch.distributed.optim import ZeroRedundancyOptimizer
    from torch.optim import Optimizer

    inside = [False]

    def new(kind: Any, *args: Any, **options: Any) -> Any:
        if inside[0] or issubclass(kind, ZeroRedundancyOptimizer):
            return object.__new__(kind)
        bound = inspect.signature(kind.__init__).bind(None, *args, **options).arguments
        named = {key: value for key, value in list(bound.items())[1:] if key != "params"}
        inside[0] = True
        try:
            return ZeroRedundancyOptimizer(list(bound["params"]), optimizer_class=kind, **named)
        finally:
            inside[0] = False

    Optimizer.__new__ = new


def _map_tensors(value: Any, change: Callable[[Any], Any]) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return type(value)((key, _map_tensors(each, change)) for key, each in value.items())
    if isinstance(value, tuple | list):
        return type(value)(_map_tensors(each, change) for each in value)
    return value


def _whole(tensor: Any) -> Any:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _local(tensor: Any) -> Any:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _counts(key: str, value: Any) -> bool:
    return hasattr(value, "numel") and key != "step"
