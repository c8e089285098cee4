"""The figures in README and notebook 07 are the benchmarks'; its recipes learn, in seconds; full runs: `make bench`."""

import json
from pathlib import Path

import nbformat
import pytest
import torch
from common import STORY
from test_shown_code import definitions
from torch import nn

from benchmarks import quality
from course_utils import RNNModel
from course_utils.loaders import load_corpus_time_machine
from course_utils.training import baselines, sgd

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "07_long_sequences.ipynb"
RESULTS = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))


def test_the_model_drops_only_while_training():
    net = quality.DropoutModel(28, 16, dropout=0.5)
    X = torch.randint(28, (3, 7))
    logits, state = net(X, net.begin_state(CPU, batch_size=3))
    assert logits.shape == (21, 28)
    assert [part.shape for part in state] == [(1, 3, 16)] * 2
    assert not torch.equal(net(X, net.begin_state(CPU, 3))[0], logits)
    net.eval()
    assert torch.equal(net(X, net.begin_state(CPU, 3))[0], net(X, net.begin_state(CPU, 3))[0])


def test_the_notebook_shows_the_model_that_is_measured():
    cells = [cell.source for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    (shown,) = [source for source in cells if source.startswith("class DropoutModel")]
    assert shown == definitions(Path(quality.__file__).read_text(encoding="utf-8"))["DropoutModel"]


def test_all_windows_come_once_and_their_labels_are_one_later():
    batches = list(quality.Shuffled(torch.arange(100).unfold(0, 6, 1)[10:30], batch_size=8))
    assert [len(X) for X, _ in batches] == [8, 8, 4]
    X, Y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert sorted(X[:, 0].tolist()) == list(range(10, 30))
    assert torch.equal(Y, X + 1)


def test_validation_windows_begin_where_those_for_training_end():
    asked = []

    class Spy(RNNModel):
        def forward(self, X, state):
            asked.append(X[:, 0].tolist())
            return super().forward(X, state)

    tokens = torch.arange(15_100) % 28
    quality._on_split(tokens, Spy(nn.RNN(28, 4), 28), 5_000, sgd, 1, 1, CPU)
    assert [len(rows) for rows in asked] == [5_000, 5_000, 5_000]
    assert asked[2] == tokens[10_000:15_000].tolist()


def test_d2l_en_turns_line_ends_into_spaces():
    tokens, vocab = quality.d2l_en_tokens("The Time\nMachine, 1898")
    assert "".join(vocab.to_tokens(tokens.tolist())) == "the time machine "


@pytest.mark.parametrize(("dropout", "learns"), [(0.1, True), (1.0, False)])
def test_the_recipe_learns_more_than_pairs_of_letters_unless_it_drops_everything(dropout, learns):
    indices, vocab = load_corpus_time_machine(corpus=str(STORY))
    training, held_out = torch.tensor(indices[:30_000]), torch.tensor(indices[30_000:])
    settings = {"num_epochs": 6, "num_hiddens": 128} if learns else {"num_epochs": 2, "num_hiddens": 16}
    reached, _ = quality.whole_text(training, held_out, len(vocab), CPU, dropout=dropout, **settings)
    assert (reached < baselines(training, held_out, len(vocab))["bigram"]) == learns


@pytest.mark.parametrize("recipe", [quality.d2l_en_split, quality.d2l_en_recipe])
def test_the_recipes_of_the_newer_edition_s_split_run(recipe, monkeypatch):
    monkeypatch.setattr(quality, "DropoutModel", lambda size, num_hiddens: RNNModel(nn.LSTM(size, 16), size))
    indices, vocab = load_corpus_time_machine(corpus=str(STORY))
    perplexity, seconds = recipe(torch.tensor(indices), len(vocab), CPU, num_epochs=1)
    assert perplexity < len(vocab)
    assert seconds > 0


def test_the_stored_numbers_of_the_last_notebook_are_the_benchmark_s():
    """Each row of its table ends in a perplexity and seconds: the rounded medians of benchmarks/results.json."""
    notebook = NOTEBOOK.read_text(encoding="utf-8")
    for name in (
        "heldout_perplexity_book_recipe",
        "heldout_perplexity_book_60s",
        "validation_perplexity_d2l_en_recipe",
        "validation_perplexity_d2l_en_split_20s",
    ):
        perplexity = f"{RESULTS[name]:.0f}" if RESULTS[name] > 20 else f"{RESULTS[name]:.1f}"
        assert f"| {perplexity} | {RESULTS['seconds_' + name]:.0f} |" in notebook, name
    assert RESULTS["heldout_perplexity_book_60s"] <= 4.8
    assert RESULTS["validation_perplexity_d2l_en_split_20s"] <= 6.4


def test_the_readme_s_figures_are_the_benchmark_s():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    labs = [value for name, value in RESULTS.items() if name.startswith("lab_ms_") and "stop" not in name]
    for words in (
        "| 1 thread | {tokens_ratio_1_thread:.1f} | {tokens_ratio_1_thread_avx2:.1f} |",
        "| 2 threads | {tokens_ratio_2_threads:.1f} | {tokens_ratio_2_threads_avx2:.1f} |",
        "bring, 1 thread | {tokens_ratio_limit_1_thread:.1f} | {tokens_ratio_limit_1_thread_avx2:.1f} |",
        "torch's own, 1 thread | {layer_ratio_1_thread:.1f} | {layer_ratio_1_thread_avx2:.1f} |",
        "need, 1 thread | {share_of_products_1_thread:.0%} | {share_of_products_1_thread_avx2:.0%} |",
        "cell | {lab_tokens_ratio:.1f} times the book's speed |",
        "two cores of an {machines[speed][processor_name]} with",
        "on the same work | {train_call_ratio_without_held_out:.1f} times as fast |",
        "the book never takes | {train_call_ratio:.1f} times as fast |",
        "| {seconds_to_perplexity_1_3:.1f} s, {seconds_ratio_to_perplexity_1_3:.0f} times sooner |",
        "| {seconds_heldout_perplexity_book_5s:.1f} s |",
        "| {plot_share:.0%} of the training time |",
        "| {contended_share:.0%} of their speed |",
        f"| {min(labs):.0f} to {max(labs):.0f} ms |",
        "| {lab_ms_stop:.0f} ms |",
        "Machine* | {recipe_training_time_machine:.1f} | {recipe_held_out_time_machine:.0f} |",
        "own story | {recipe_training_story:.1f} | {recipe_held_out_story:.0f} | {recipe_best_held_out_story:.1f} |",
    ):
        assert words.format_map(RESULTS) in readme
    assert RESULTS["heldout_perplexity_book_5s"] < 5.0
    assert RESULTS["gpu_tokens_ratio"] is not None or "no GPU was at hand" in readme
