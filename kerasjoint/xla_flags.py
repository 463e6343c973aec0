"""Small matrix products belong into the compiled loop: a setting of XLA for the CPU."""

from __future__ import annotations

import os
from functools import cache

import tensorflow as tf

SWITCH = "xla_cpu_multi_thread_eigen"


@cache
def compile_small_products() -> None:
    """Let XLA emit code for small matrix products where it would call Eigen's, for this process.

    In a time loop these calls cost more than the products: Kuramoto-Sivashinsky takes 1.3 times as long with them.
    Large products go to Eigen, on all cores, as before. XLA reads its switches from the environment variable
    ``XLA_FLAGS``, once, before it compiles anything. So a function is compiled here while the variable has this one,
    and other libraries of the process do not see it. Where the user's ``XLA_FLAGS`` has it, or TensorFlow has compiled
    with XLA before, that stays.
    """
    given = os.environ.get("XLA_FLAGS")
    if SWITCH in (given or ""):
        return
    os.environ["XLA_FLAGS"] = f"{given or ''} --{SWITCH}=false"
    try:
        with tf.init_scope(), tf.device("CPU"):
            tf.function(lambda: tf.zeros(()), jit_compile=True, autograph=False)()
    finally:
        if given is None:
            del os.environ["XLA_FLAGS"]
        else:
            os.environ["XLA_FLAGS"] = given
