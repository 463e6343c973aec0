from __future__ import annotations

import numpy as np
import pytest

from kerasjoint.errors import ArgumentError
from kerasjoint.experiments.engine import Engine
from kerasjoint.experiments.figures import write_figures
from kerasjoint.experiments.plan import plan
from kerasjoint.experiments.preset import load_preset, parse_preset
from kerasjoint.experiments.preset_files import preset_names
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import comparison_table, write_tables


@pytest.mark.parametrize("name", preset_names())
def test_the_presets_that_come_along_are_valid(name):
    preset = load_preset(name)
    assert preset.name == name
    assert preset.description
    assert plan(preset)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"epochs": 3}, "epochs"),
        ({"problems": {"billiard": {"n": [2]}}}, "billiards"),
        ({"problems": {"billiards": {"n": [0]}}}, "n.0"),
        ({"problems": {"billiards": {"n": []}}}, "n"),
        ({"problems": {"billiards": {"m": [2], "n": [2]}}}, "m"),
        ({"problems": {"billiards": {"n": [2], "options": {"raduis": 1}}}}, "raduis"),
        ({"methods": {"lbfsg": {}}}, "lbfgs"),
        ({"methods": {"lbfgs": {"epochs": 3}}}, "epochs"),
        ({"methods": {"lbfsg@tight": {}}}, "lbfgs"),
        ({"methods": {"lbfgs@../tight": {}}}, "lbfgs@variant"),
        ({"problems": {"billiards@": {"n": [2]}}}, "billiards@variant"),
        ({"problems": {"billiards@far": {"n": [2], "options": {"raduis": 1}}}}, "raduis"),
        ({"refinement": {"method": "lockstep"}}, "lockstep-lbfgs"),
        ({"refinement": {"method": "supervised"}}, "refinement.method: expected a local method"),
        ({"refinement": {"options": {"tolerence": 1.0}}}, "tolerence"),
        ({"refinement": {"options": {"tolerance": -1.0}}}, "tolerance"),
        ({"seeds": 0}, "seeds"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_name(change, names):
    right = {"name": "test", "problems": {"billiards": {"n": [2]}}, "methods": {"lbfgs": {}}}
    parse_preset(right, "test")
    with pytest.raises(ArgumentError, match=names):
        parse_preset(right | change, "test")


@pytest.mark.parametrize("text", ["name: [", "- a list", "!!python/object/apply:os.getcwd []"])
def test_what_is_no_preset_is_refused(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ArgumentError, match=r"mine\.yaml"):
        load_preset(str(path))


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ArgumentError, match="quick"):
        load_preset("quikc")


def test_narrowing_keeps_the_options_of_the_preset(preset):
    tasks = plan(preset.narrowed(problems=["billiards"], methods=["reparameterized"], n=[8], seeds=1))
    assert [(task.problem, task.method, task.n, task.seed) for task in tasks] == [
        ("billiards", "reparameterized", 8, 0)
    ]
    assert tasks[0].method_options == {"epochs": 20, "network_options": {"widths": [16]}}


def test_a_variant_that_the_preset_does_not_know_is_refused(preset):
    known = load_preset("paper-ablation")
    assert known.narrowed(["wave-packet@open-window"], ["reparameterized@random-start"])
    with pytest.raises(ArgumentError, match=r"reparameterized@higher-rate or .*got reparameterized@random-strat"):
        known.narrowed(methods=["reparameterized@random-strat"])
    with pytest.raises(ArgumentError, match="there is none"):
        preset.narrowed(["wave-packet@open-window"])


def test_variants_differ_in_their_options_alone(tmp_path):
    preset = parse_preset(
        {
            "name": "variants",
            "problems": {
                "wave-packet": {"n": [3]},
                "wave-packet@quiet": {
                    "n": [3],
                    "options": {"noise": 0.01},
                    "methods": {"scipy-lbfgs@one": {"history_size": 2}},
                },
            },
            "methods": {"scipy-lbfgs": {}, "scipy-lbfgs@one": {"max_iterations": 1}},
        },
        "test",
    )
    tasks = plan(preset)
    assert len({task.name for task in tasks}) == 4
    assert len({(task.data_seed, task.method_seed) for task in tasks}) == 1
    store = Store(tmp_path / "run")
    assert not Engine(store).run(tasks).failed
    rows = store.rows()
    assert list(dict.fromkeys(rows["problem"])) == ["wave-packet", "wave-packet@quiet"]
    iterations = rows.groupby(["problem", "method"])["iterations"].max().unstack()
    assert (iterations["scipy-lbfgs@one"] == 1).all()
    assert (iterations["scipy-lbfgs"] > 1).all()
    truth = rows.groupby("problem")["truth"].apply(lambda column: np.concatenate(column.to_list()).tolist())
    assert truth.iloc[0] == truth.iloc[1]
    loss = rows.groupby("problem")["loss"].min()
    assert loss["wave-packet@quiet"] != loss["wave-packet"]
    write_tables(rows, store.folder / "tables")
    assert {path.stem for path in write_figures(store, store.folder / "figures")} == set(rows["problem"])
    table = comparison_table(rows, "wave-packet", per_n=False)
    assert table["method"].tolist() == ["scipy-lbfgs", "scipy-lbfgs@one"]


def test_methods_share_the_data_and_nothing_else_does(preset):
    tasks = plan(preset)
    data = {(task.n, task.seed): set() for task in tasks}
    for task in tasks:
        data[task.n, task.seed].add(task.data_seed)
    assert all(len(seeds) == 1 for seeds in data.values())
    assert len(set.union(*data.values())) == len(data)
    # Written out, so that a change of the derivation cannot pass unnoticed: results would no longer be remade.
    assert tasks[0].data_seed == 4255190451
