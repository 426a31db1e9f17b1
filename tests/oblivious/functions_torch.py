"""A torch model and its oblivious training function, importable by worker processes."""

import os
import signal

import torch


class Net(torch.nn.Module):
    """A small network with a layer that is worth sharding."""

    def __init__(self, hidden=32):
        super().__init__()
        self.first = torch.nn.Linear(8, hidden)
        self.second = torch.nn.Linear(hidden, hidden)
        self.out = torch.nn.Linear(hidden, 1)

    def forward(self, x):
        return self.out(torch.relu(self.second(torch.relu(self.first(x)))))


def make_data(rows, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 8, generator=generator)
    y = x[:, :3].sum(1, keepdim=True) + 0.1 * torch.randn(rows, 1, generator=generator)
    return torch.utils.data.TensorDataset(x, y)


def train_fn(model, dataset, hparams, reporter):
    train, validation = dataset
    network = model(hidden=hparams.get("hidden", 32))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    loader = torch.utils.data.DataLoader(train, batch_size=hparams.get("batch_size", 32), shuffle=True)
    held_out = torch.utils.data.DataLoader(validation, batch_size=64)
    begin = reporter.restore(network=network, optimizer=optimizer) if hparams.get("keep") else 0
    reporter.log(f"begin at {begin}")
    value = float("nan")
    for epoch in range(begin, hparams.get("epochs", 2)):
        network.train()
        for x, y in loader:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(network(x), y).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            sums = [(torch.nn.functional.mse_loss(network(x), y).item() * len(x), len(x)) for x, y in held_out]
        value = sum(total for total, _ in sums) / sum(rows for _, rows in sums)
        reporter.broadcast(value, epoch)
        if hparams.get("keep"):
            reporter.save(epoch, network=network, optimizer=optimizer)
        trouble(hparams, reporter, epoch)
    return {"loss": value, "began": begin}


def trouble(hparams, reporter, epoch):
    """Die or raise once in one rank."""
    what, flag = hparams.get("trouble"), reporter.directory / "had trouble"
    if what and epoch == 1 and reporter.rank == 1 and not flag.exists():
        flag.touch()
        if what == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ArithmeticError("only in rank 1")
