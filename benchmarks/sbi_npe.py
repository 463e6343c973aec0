"""Neural posterior estimation of the package ``sbi``, followed by refinement: a rival for the suite.

It is not among the methods that come along, since ``sbi`` needs PyTorch. With ``pip install sbi``::

    kerasjoint run thin-film carbon-dioxide --preset suite --seeds 1 --method benchmarks/sbi_npe.py:SbiNPE --out DIR
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sbi.inference import NPE

from kerasjoint.checks import check_choice, check_count
from kerasjoint.methods import AmortizedMultiStart
from kerasjoint.methods.descents import PROPOSED
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Solution

# Of the budget; at most so many pairs, beyond which training takes hours.
PAIRS_SHARE, MOST_PAIRS = 0.4, 60_000


class SbiNPE(AmortizedMultiStart):
    """A normalizing flow p(z | x, y) trained once on pairs from the prior, and descents from its samples.

    As ``AmortizedMultiStart``, with the same budget, screening and descents, but with the proposals of ``sbi``'s single
    round NPE (Papamakarios and Murray, 2016; Greenberg et al., 2019) in place of the mixtures and their rounds. Pairs
    come from ``problem.sample_training``, so with the noise of the problem, where it states one.

    Parameters
    ----------
    evaluations
        Budget per instance, in values with gradient.
    flow
        The density estimator of ``sbi``, ``"maf"`` (its default) or ``"nsf"``.
    epochs
        At most so many. Training ends earlier, after 20 epochs without gain on held-out pairs.
    """

    name = "sbi-npe"

    def __init__(self, evaluations: int = 1500, flow: str = "maf", epochs: int = 100) -> None:
        super().__init__(evaluations)
        self.flow, self.epochs = check_choice("flow", flow, ("maf", "nsf")), check_count("epochs", epochs)

    def solve(self, problem_set: ProblemSet, seed: int = 0) -> Solution:
        """Solve all instances; ``seed`` draws the pairs, the initial weights and the starts."""
        torch.manual_seed(seed)
        generator = np.random.default_rng(np.random.SeedSequence([seed, 2]))
        assert self.evaluations is not None
        search = self._begin(problem_set, self.evaluations)
        if search.open.size:
            count = min(int(PAIRS_SHARE * search.left / self.value_cost), MOST_PAIRS)
            examples = problem_set.problem.sample_training(count, int(generator.integers(2**31)))
            search.count_values(np.arange(count) % len(problem_set))
            flow = _Flow(problem_set, examples, self.flow, self.epochs)
            self._finish(search, {PROPOSED: flow}, generator)
        return search.solution(self.name, type(self).__name__)


class _Flow:
    """The trained flow, as a source of starts."""

    def __init__(self, problem_set: ProblemSet, examples: ProblemSet, flow: str, epochs: int) -> None:
        inference = NPE(density_estimator=flow, show_progress_bars=False)
        z = examples.space.to_z(examples.truth, examples.guess)
        inference.append_simulations(torch.tensor(z, dtype=torch.float32), _context(examples))
        self._estimator = inference.train(training_batch_size=512, max_num_epochs=epochs)
        self._given = _context(problem_set)

    def propose(self, rows: NDArray[np.intp], count: int) -> NDArray[np.float64]:
        """Return starts (m, count, d) of the instances ``rows`` (m,)."""
        with torch.no_grad():
            samples = self._estimator.sample((count,), condition=self._given[rows])
        return samples.numpy().astype(np.float64).swapaxes(0, 1)


def _context(problem_set: ProblemSet) -> torch.Tensor:
    arrays = [problem_set.y, *problem_set.x.values()]
    flat = np.concatenate([np.asarray(array).reshape(len(problem_set), -1) for array in arrays], axis=1)
    return torch.tensor(flat, dtype=torch.float32)
