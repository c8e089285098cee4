"""What holds for unit tests and notebooks alike: the guard over notebook cells, and the order of the whole run."""

pytest_plugins = ["nbval_guard"]


def pytest_collection_modifyitems(items):
    """Quick answers first: unit tests, then the notebooks, then a real browser."""
    items.sort(key=_place)  # stable: within a group everything stays where it was


def _place(item):
    if item.path.suffix == ".ipynb":
        return 1
    return 2 if item.path.name == "test_browser.py" else 0
