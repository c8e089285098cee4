"""A grid: each value of each list with each value of the others."""

from itertools import product


def all_settings(lists):
    return [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]


def inputs():
    yield ({"cell": ["RNN", "GRU"], "seed": [0, 1, 2]},)
    yield ({"num_hiddens": [16, 64, 256], "cell": ["GRU"], "lr": [0.01, 0.003], "seed": [1, 0]},)
    yield ({"num_steps": [35, 5]},)
    yield ({"num_steps": [5, 15], "seed": []},)


ERRORS = [
    (
        "product(*lists.values())",
        "zip(*lists.values())",
        "You go through the lists side by side; but each value must meet each value of the others.",
    ),
    (
        "product(*lists.values())",
        "sorted(product(*lists.values()))",
        "You sort the settings; the values keep the order in which the lists give them.",
    ),
    (
        "dict(zip(lists, values, strict=True))",
        "values",
        "Your settings have no names: each is a dictionary from the name to one value.",
    ),
    (
        "dict(zip(lists, values, strict=True))",
        "[*zip(lists, values, strict=True)]",
        "Your settings are lists of pairs; each must be a dictionary.",
    ),
    (
        "product(*lists.values())",
        "product(*[lists[name] for name in lists][:2])",
        "You combine two lists only; there may be any number of them.",
    ),
    (
        "[dict(zip(lists, values, strict=True)) for values in product(*lists.values())]",
        "[dict(zip(lists, values[::-1], strict=True)) for values in product(*reversed(lists.values()))]",
        "Your first name moves fastest; the last one must, as the inner loop of several.",
    ),
]
