"""What is compared with what."""

from __future__ import annotations

from benchmarks.contest import Case, Contender

LONG = "long-chaos"
CONVOLUTIONS = "wave packet, convolutions"
NEAR = ("navier-stokes-light", "layered-ground", "thin-film", "lorenz-96")
COST_SIZES = {"wave-packet": 64, "billiards": 64, "kuramoto-sivashinsky": 64, "navier-stokes": 16}


def _chaos(name: str) -> tuple[Contender, ...]:
    return (
        Contender("kerasjoint", "chaos:value_and_gradient", {"name": name}),
        Contender("kerasjoint, 1 core", "chaos:value_and_gradient", {"name": name, "cores": 1}),
        Contender("JAX, reverse mode", "chaos_jax:value_and_gradient", {"name": name, "reverse": True}),
        Contender("JAX, forward mode", "chaos_jax:value_and_gradient", {"name": name, "reverse": False}),
        Contender(
            "JAX, forward mode, XLA switched as in kerasjoint",
            "chaos_jax:value_and_gradient",
            {"name": name, "reverse": False},
            {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"},
        ),
    )


def _optimisers(name: str, *others: Contender) -> tuple[Contender, ...]:
    own = {
        "LockstepLBFGS": "kerasjoint LockstepLBFGS",
        "ScipyLBFGS": "kerasjoint ScipyLBFGS",
        "LBFGS": "kerasjoint LBFGS",
    }
    return (
        *(Contender(label, "chaos:optimiser", {"method": key, "name": name}) for key, label in own.items()),
        *others,
    )


def _beside_floor(name: str) -> tuple[Contender, ...]:
    return Contender("its evaluations alone", "chaos:floor", {"name": name}), _optimisers(name)[0]


def _training(problem: str, epochs: int, *others: Contender) -> tuple[Contender, ...]:
    options = {"problem": problem, "epochs": epochs}
    return (
        Contender("kerasjoint fit", "training:fit", options),
        Contender("hand-written XLA loop", "training:by_hand", options),
        *others,
    )


def _keras_fit(jit: bool, per_execution: int) -> Contender:
    name = f"Keras fit, {'XLA, ' if jit else ''}{per_execution} steps per execution"
    options = {"problem": CONVOLUTIONS, "epochs": 200, "jit": jit, "per_execution": per_execution}
    return Contender(name, "training:keras_fit", options)


CASES = (
    Case(
        "L-BFGS, Kuramoto-Sivashinsky, 128 points, 100 steps",
        (32, 128),
        _optimisers(
            "chaos",
            Contender("plain tfp", "chaos:plain_tfp"),
            Contender("SciPy loop over JAX", "chaos_jax:scipy_loop"),
            Contender("Optimistix BFGS", "chaos_jax:optimistix"),
            Contender("PhiML minimize", "chaos_jax:phiml"),
        ),
        repetitions=3,
    ),
    Case(
        "refinement from near the solution, Kuramoto-Sivashinsky, 128 points, 100 steps",
        (32, 128),
        (
            Contender("kerasjoint LockstepLM", "chaos:refinement", {"method": "LockstepLM"}),
            Contender("kerasjoint LockstepLBFGS", "chaos:refinement", {"method": "LockstepLBFGS"}),
            Contender("SciPy least_squares loop, same Jacobians", "chaos:scipy_least_squares"),
            Contender("Optimistix LevenbergMarquardt", "chaos_jax:optimistix_lm"),
        ),
        repetitions=3,
    ),
    *(
        Case(
            f"refinement to the same losses, {problem}",
            (64,),
            (
                Contender("kerasjoint LockstepLM", "near:refinement", {"problem": problem, "method": "LockstepLM"}),
                Contender(
                    "kerasjoint LockstepLBFGS", "near:refinement", {"problem": problem, "method": "LockstepLBFGS"}
                ),
                Contender("SciPy least_squares loop, same Jacobians", "near:scipy_least_squares", {"problem": problem}),
            ),
            repetitions=3,
        )
        for problem in NEAR
    ),
    Case("L-BFGS, Kuramoto-Sivashinsky, 64 points, 250 steps", (128,), _optimisers(LONG), repetitions=3),
    Case(
        "LockstepLBFGS beside its evaluations, 128 points, 100 steps", (32, 128), _beside_floor("chaos"), repetitions=15
    ),
    Case("LockstepLBFGS beside its evaluations, 64 points, 250 steps", (128,), _beside_floor(LONG), repetitions=15),
    Case("value and gradient, Kuramoto-Sivashinsky, 128 points, 100 steps", (128,), _chaos("chaos"), repetitions=41),
    Case(
        "value and gradient, Kuramoto-Sivashinsky, 64 points, 250 steps",
        (128,),
        (*_chaos(LONG), Contender("Exponax, forward mode", "chaos_exponax:value_and_gradient")),
        repetitions=15,
    ),
    Case(
        "value and gradient, Navier-Stokes, 64 x 64 cells, 28 steps",
        (16, 64),
        (
            Contender("kerasjoint", "fluid:value_and_gradient"),
            Contender("kerasjoint, 1 core", "fluid:value_and_gradient", {"cores": 1}),
            Contender("kerasjoint, float32", "fluid:value_and_gradient", {"dtype": "float32"}),
            Contender("JAX, CG 1e-5, reverse mode", "fluid_jax:value_and_gradient", {"reverse": True, "warm": False}),
            Contender(
                "JAX, CG 1e-5, reverse mode, warm start",
                "fluid_jax:value_and_gradient",
                {"reverse": True, "warm": True},
            ),
            Contender("JAX, CG 1e-5, forward mode", "fluid_jax:value_and_gradient", {"reverse": False, "warm": False}),
        ),
        repetitions=3,
    ),
    Case(
        "value and gradient, Navier-Stokes, beside PhiFlow",
        (16,),
        (
            Contender("kerasjoint", "fluid:value_and_gradient"),
            Contender("PhiFlow", "fluid_phiflow:prepare", {"rank_deficiency": None}),
            Contender("PhiFlow, rank_deficiency=0", "fluid_phiflow:prepare", {"rank_deficiency": 0}),
        ),
        repetitions=2,
    ),
    Case("1000 epochs, billiards", (64,), _training("billiards", 1000)),
    Case("1000 epochs, wave packet, dense network", (64,), _training("wave packet", 1000)),
    Case(
        "200 epochs, wave packet, convolutional network",
        (64,),
        _training(
            CONVOLUTIONS, 200, _keras_fit(True, 1), _keras_fit(False, 1), _keras_fit(False, 50), _keras_fit(True, 50)
        ),
        repetitions=9,
    ),
    *(
        Case(
            f"growth with n: value and gradient, {problem}",
            (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
            (Contender("kerasjoint", "growth:value_and_gradient", {"problem": problem}),),
            repetitions=3,
        )
        for problem in ("wave-packet", "kuramoto-sivashinsky")
    ),
    Case(
        "growth with the unknowns (n column): value and gradient of 64 instances, heat in 200 steps",
        (1, 2, 4, 8, 16, 32, 64, 256),
        (
            *(
                Contender(f"{mode} mode", "growth:by_unknowns", {"mode": mode})
                for mode in ("auto", "forward", "reverse")
            ),
            Contender("with the normal equations", "growth:jacobian_by_unknowns"),
        ),
        repetitions=3,
    ),
    *(
        Case(
            f"cost, {problem}",
            (n,),
            tuple(
                Contender(name, "growth:method", {"problem": problem, "method": name})
                for name in ("reparameterized", "lbfgs", "scipy-lbfgs", "lockstep-lbfgs")
            ),
            repetitions=3,
        )
        for problem, n in COST_SIZES.items()
    ),
)
