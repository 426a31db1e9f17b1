"""How long a step takes, learnt from how long it took."""

import threading

_FORGET = 0.3  # weight of the newest observation
_FIXED = 0.3  # share of a step that does not grow with the work, until two amounts were seen


class _Line:
    """Seconds as a line through the smallest and the largest amount of work seen, scaled to how things go lately."""

    def __init__(self) -> None:
        self.ends: dict[float, float] = {}
        self.factor = 1.0

    def at(self, work: float) -> float:
        if not self.ends:
            return 0.0
        low, high = min(self.ends), max(self.ends)
        if low == high:
            share = work / low  # nothing is known of the fixed part yet: some of it where there is less to do
            return self.factor * self.ends[low] * (share if share > 1 else _FIXED + (1 - _FIXED) * share)
        slope = max(0.0, (self.ends[high] - self.ends[low]) / (high - low))
        return self.factor * max(0.0, self.ends[low] + slope * (work - low))

    def learn(self, work: float, seconds: float) -> None:
        expected = self.at(work)
        if not self.ends or work < min(self.ends) or work > max(self.ends):
            # A new end, brought to the pace of the other ends so that the factor fits all of them.
            self.ends[work] = seconds / self.factor
            for middle in sorted(self.ends)[1:-1]:
                del self.ends[middle]
        elif expected > 0:
            self.factor *= (1 - _FORGET) + _FORGET * seconds / expected


class Pace:
    """Predicts seconds from an amount of work, per kind of step.

    A step has a fixed part (calls, tracing) and one that grows with the work, so the prediction is a line through the
    smallest and the largest amount seen; all of it follows the load of the machine. A step that was never seen is
    predicted to take no time, so that it is tried and learnt.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._lock = threading.Lock()

    def learn(self, step: str, work: float, seconds: float) -> None:
        """Remember how long an amount of work took.

        Parameters
        ----------
        step : str
            Kind of step.
        work : float
            Amount, above zero, in whatever grows with the time.
        seconds : float
            Time that it took.
        """
        with self._lock:
            self._lines.setdefault(step, _Line()).learn(work, seconds)

    def doubt(self, step: str) -> None:
        """Expect a step to be faster than it was: left out, it is not measured, and busy machines become quiet again.

        Parameters
        ----------
        step : str
            Kind of step that was left out.
        """
        with self._lock:
            if step in self._lines:
                self._lines[step].factor *= 1 - _FORGET

    def forget(self, start: str) -> None:
        """Forget all steps whose names start so."""
        with self._lock:
            self._lines = {step: line for step, line in self._lines.items() if not step.startswith(start)}

    def seconds(self, step: str, work: float) -> float:
        """Predict how long an amount of work will take.

        Parameters
        ----------
        step : str
            Kind of step.
        work : float
            Amount.

        Returns
        -------
        float
            Seconds, never below zero; zero for a step that was never seen.
        """
        with self._lock:
            return self._lines[step].at(work) if step in self._lines else 0.0
