"""One problem set solved by shards; the workers are threads of this process, and processes in a long test."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from dask_processes import dask_processes
from distributed import Client, LocalCluster, get_worker
from helpers import Decay, Rosenbrock, assert_same_bits, decay_set, rosenbrock_set

from kerasjoint import ArgumentError, ProblemSet, solve
from kerasjoint.cluster import run_on_chosen_workers, run_on_workers
from kerasjoint.errors import ClusterError
from kerasjoint.methods import LockstepLBFGS, LockstepLM, MultiStart, Reparameterized, ScipyLBFGS
from kerasjoint.problems import WavePacket


@pytest.fixture(scope="module")
def client():
    with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as client:
        yield client


@pytest.mark.parametrize("method", [LockstepLBFGS(), LockstepLM()], ids=lambda one: one.name)
def test_shards_of_a_local_method_give_the_same_up_to_rounding(client, method):
    problem_set = rosenbrock_set(Rosenbrock(), 13)
    whole, parts = solve(problem_set, method), solve(problem_set, method, client=client, shard=5)
    np.testing.assert_allclose(parts.xi, whole.xi, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(whole.solved, parts.solved)
    assert parts.problem_set is problem_set
    assert (parts.method, parts.solver) == (whole.method, whole.solver)
    end = parts.history.iloc[-1]
    assert (end["iteration"], end["solved"]) == (parts.iterations.max(), 1)
    np.testing.assert_allclose(parts.history["mean"].iloc[0], problem_set.objective(problem_set.guess).mean())


def test_where_each_instance_is_evaluated_alone_all_bits_are_the_same(client):
    problem_set = WavePacket().sample(11, seed=1)
    start = solve(problem_set, ScipyLBFGS())
    assert_same_bits(start, solve(problem_set, ScipyLBFGS(), client=client, shard=4))


def test_the_truth_is_evaluated_on_the_workers(client, monkeypatch):
    problem_set = decay_set(Decay(), n=9)
    parts = solve(problem_set, LockstepLBFGS(), client=client)
    monkeypatch.setattr(ProblemSet, "objective", None)
    np.testing.assert_allclose(problem_set.truth_loss, 0, atol=1e-28)
    assert parts.solved.all()


def test_a_scheduler_that_was_lost_unnoticed_is_named(client, monkeypatch):
    def nthreads():
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(client, "nthreads", nthreads)
    with pytest.raises(ClusterError, match=f"the scheduler {client.scheduler.address} was lost"):
        solve(decay_set(Decay(), n=3), LockstepLBFGS(), client=client)


def test_a_method_whose_instances_learn_from_one_another_needs_the_size_of_a_shard(client):
    problem_set = decay_set(Decay(), n=8)
    with pytest.raises(ArgumentError, match="shard: expected how many instances to solve together, since those of rep"):
        solve(problem_set, Reparameterized(epochs=3), client=client)
    with pytest.raises(ArgumentError, match="shard: expected a client beside it"):
        solve(problem_set, shard=3)
    with pytest.raises(ArgumentError, match=r"client: expected a distributed\.Client"):
        solve(problem_set, client="tcp://127.0.0.1:8786")


def test_a_shard_of_all_is_the_method_alone(client):
    problem_set = decay_set(Decay(), n=6)
    method = Reparameterized(epochs=4, network="dense")
    assert_same_bits(solve(problem_set, method, seed=3), solve(problem_set, method, seed=3, client=client, shard=6))


def test_what_several_descents_say_is_joined(client):
    problem_set = WavePacket().sample(7, seed=2)
    parts = solve(problem_set, MultiStart(evaluations=60), client=client, shard=3)
    alone = [solve(problem_set[rows], LockstepLBFGS()) for rows in (slice(0, 3), slice(3, 6), slice(6, 7))]
    assert (parts.loss <= np.concatenate([one.loss for one in alone])).all()
    minima = parts.minima
    assert set(minima["instance"]) == set(range(7))
    best = minima.groupby("instance")["loss"].min()
    np.testing.assert_array_equal(best, parts.loss)
    assert (minima.groupby("instance")["hits"].sum() <= parts.starts).all()


def test_an_error_on_a_worker_comes_back(client):
    class Wrong(LockstepLBFGS):
        def _advance(self, run):
            raise RuntimeError("no convergence today")

    with pytest.raises(RuntimeError, match="no convergence today"):
        solve(decay_set(Decay(), n=4), Wrong(), client=client)


def test_calls_are_sent_as_the_workers_need_them(client):
    pulled = []

    def arguments():
        for k in range(50):
            pulled.append(k)
            yield k, 2

    results = run_on_workers(client, pow, arguments())
    place, result = next(results)
    assert result == place**2
    assert len(pulled) <= 4
    rest = dict(results)
    assert rest | {place: result} == {k: k**2 for k in range(50)}


def test_a_call_is_made_by_the_worker_that_asked_for_it(client):
    asked = []

    def next_for(worker):
        if len(asked) == 12:
            return None
        asked.append(worker)
        return (len(asked) - 1,)

    made = dict(run_on_chosen_workers(client, whereabouts, next_for))
    assert [made[place] for place in range(12)] == asked
    assert len(set(asked)) == 2
    # Both begin before either has a second.
    assert len(set(asked[:2])) == 2


def whereabouts(number: int) -> str:
    time.sleep(0.01)
    return get_worker().address


@pytest.mark.parametrize("chosen", [False, True])
def test_it_waits_for_the_first_worker(chosen):
    with cluster_of(0) as (cluster, client):
        results = on_any_or_chosen(client, pow, [(2, 3), (2, 4)], chosen)
        joining = threading.Timer(0.5, lambda: cluster.scale(1))
        joining.start()
        assert dict(results) == {0: 8, 1: 16}
        joining.join()


def on_any_or_chosen(client, function, arguments, chosen):
    if not chosen:
        return run_on_workers(client, function, arguments)
    calls = iter(arguments)
    return run_on_chosen_workers(client, function, lambda worker: next(calls, None))


@contextmanager
def cluster_of(workers: int):
    options = {"processes": False, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster) as client:
        yield cluster, client


@pytest.mark.long
@pytest.mark.parametrize("chosen", [False, True])
def test_a_call_that_ends_its_only_worker_is_made_by_the_next(chosen, tmp_path):
    died = f"""
import os, pathlib, signal
if not pathlib.Path({str(tmp_path / "died")!r}).exists():
    pathlib.Path({str(tmp_path / "died")!r}).touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    with dask_processes(tmp_path) as processes:
        processes.scheduler()
        first = processes.worker()
        with Client(processes.address) as client:
            client.wait_for_workers(1)
            results = on_any_or_chosen(client, exec, [(died,), ("pass",), ("pass",)], chosen)
            replacing = threading.Thread(target=lambda: first.wait() and processes.worker())
            replacing.start()
            assert dict(results) == {0: None, 1: None, 2: None}
            replacing.join()
    assert (tmp_path / "died").exists()


@pytest.mark.long
def test_worker_processes_give_the_same_and_a_lost_scheduler_is_named(tmp_path):
    problem_set = WavePacket().sample(40, seed=4)
    with dask_processes(tmp_path) as processes:
        scheduler = processes.scheduler()
        for _ in range(2):
            processes.worker()
        with Client(processes.address) as client:
            client.wait_for_workers(2)
            parts = solve(problem_set, LockstepLBFGS(), client=client, shard=7)
            whole = solve(problem_set, LockstepLBFGS())
            np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-9)
            assert_same_bits(solve(problem_set[:8], ScipyLBFGS()), solve(problem_set[:8], ScipyLBFGS(), client=client))
            scheduler.kill()
            scheduler.wait()
            with pytest.raises((ClusterError, ArgumentError), match=r"was lost|is connected"):
                solve(problem_set, LockstepLBFGS(), client=client)
