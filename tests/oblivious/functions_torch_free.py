"""Training functions and a strategy without a framework, for the launchers."""

from deepcube.oblivious.strategies import Strategy


class Alone(Strategy):
    """Ranks that do not meet: what a launcher does is the same with and without a framework."""

    name = "alone"

    def join(self, rank, addresses):
        self.rank = rank
        self.addresses = addresses

    def stats(self):
        return {"rank": float(self.rank), "known": float(len(set(map(tuple, self.addresses))))}


def ranked(reporter):
    reporter.broadcast(1.0, 0)
    return {"loss": 1.0 + reporter.rank}


def fails_in_one(reporter):
    if reporter.rank == 1:
        raise ArithmeticError("only in rank 1")
    return {"loss": 1.0}


def squared(hparams):
    return {"loss": hparams["x"] ** 2}
