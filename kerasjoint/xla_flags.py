"""Settings of XLA for the CPU that this process starts with: small matrix products, and the cache of compiled code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import tensorflow as tf

from kerasjoint import compile_cache

SWITCH = "xla_cpu_multi_thread_eigen"


@cache
def start_xla() -> None:
    """Let XLA emit code for small matrix products where it would call Eigen's, and keep what it compiles.

    In a time loop these calls cost more than the products: Kuramoto-Sivashinsky takes 1.3 times as long with them.
    Large products go to Eigen, on all cores, as before. XLA reads its switches from the environment variables
    ``XLA_FLAGS`` and ``TF_XLA_FLAGS``, once, before it compiles anything. So a function is compiled here while they
    have these, and other libraries of the process do not see them. Where the user's variables have them, or TensorFlow
    has compiled with XLA before, that stays; the cache is used if nothing at all ran in TensorFlow before.
    """
    with ExitStack() as stack:
        # Before the switch is set, which the key of the cache would take for the user's.
        session = compile_cache.begin()
        if session is not None:
            stack.enter_context(_added(compile_cache.TENSORFLOW, f"{compile_cache.SWITCH}={session.folder}"))
        if SWITCH not in os.environ.get("XLA_FLAGS", ""):
            stack.enter_context(_added("XLA_FLAGS", f"--{SWITCH}=false"))
        try:
            _compile_something()
        except tf.errors.OpError as error:
            if not compile_cache.forget_refused(error):
                raise
            _compile_something()


def _compile_something() -> None:
    with tf.init_scope(), tf.device("CPU"):
        tf.function(lambda: tf.zeros(()), jit_compile=True, autograph=False)()


@contextmanager
def _added(variable: str, switch: str) -> Iterator[None]:
    given = os.environ.get(variable)
    os.environ[variable] = f"{given or ''} {switch}"
    try:
        yield
    finally:
        if given is None:
            del os.environ[variable]
        else:
            os.environ[variable] = given
