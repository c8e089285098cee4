"""How far can we go: the recipes' parts, and that each learns, in seconds; the full runs are in `make bench`."""

import json
from pathlib import Path

import torch
from common import STORY
from torch import nn

from course_utils.experiments import quality
from course_utils.loaders import load_corpus_time_machine
from course_utils.training import baselines

CPU = torch.device("cpu")


def test_the_model_is_called_like_rnn_model_and_drops_only_while_training():
    net = quality.DropoutModel(28, 16, cell=nn.GRU, dropout=0.5)
    X = torch.randint(28, (3, 7))
    logits, state = net(X, net.begin_state(CPU, batch_size=3))
    assert logits.shape == (21, 28)
    assert state.shape == (1, 3, 16)
    assert not torch.equal(net(X, net.begin_state(CPU, 3))[0], logits)
    net.eval()
    assert torch.equal(net(X, net.begin_state(CPU, 3))[0], net(X, net.begin_state(CPU, 3))[0])


def test_windows_start_at_every_token_and_labels_come_one_later():
    windows = quality.Windows(torch.arange(100), first=10, count=20, num_steps=5, batch_size=8)
    batches = list(windows)
    assert [len(X) for X, _ in batches] == [8, 8, 4]
    assert len(windows) == 3
    X, Y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert sorted(X[:, 0].tolist()) == list(range(10, 30))
    assert torch.equal(Y, X + 1)


def test_training_windows_of_d2l_en_end_before_the_labels_of_validation_begin():
    training, validation = (
        quality.Windows(torch.arange(15_100), 0, 10_000),
        quality.Windows(torch.arange(15_100), 10_000, 5_000),
    )
    assert validation.windows[:, 0].min() == training.windows[:, 0].max() + 1


def test_d2l_en_turns_line_ends_into_spaces():
    tokens, vocab = quality.d2l_en_tokens("The Time\nMachine, 1898")
    assert "".join(vocab.to_tokens(tokens.tolist())) == "the time machine "


def test_the_recipes_learn_more_than_pairs_of_letters_and_leave_the_generator_alone():
    indices, vocab = load_corpus_time_machine(corpus=str(STORY))
    tokens = torch.tensor(indices)
    training, held_out = tokens[:30_000], tokens[30_000:]
    before = torch.random.get_rng_state()
    reached = quality.whole_text(training, held_out, len(vocab), CPU, num_epochs=6, num_hiddens=128, dropout=0.1)
    assert reached.held_out < baselines(training, held_out, len(vocab))["bigram"]
    short = quality.d2l_en_split(tokens, len(vocab), CPU, num_epochs=1)
    assert short.held_out < len(vocab)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_more_dropout_than_all_learns_nothing_of_the_text():
    """The check above can fail: with everything dropped only the output's bias learns, which is a unigram."""
    indices, vocab = load_corpus_time_machine(corpus=str(STORY))
    tokens = torch.tensor(indices)
    reached = quality.whole_text(
        tokens[:10_000], tokens[30_000:], len(vocab), CPU, num_epochs=2, num_hiddens=16, dropout=1.0
    )
    assert reached.held_out > baselines(tokens[:10_000], tokens[30_000:], len(vocab))["bigram"]


def test_the_stored_numbers_of_the_last_notebook_are_the_benchmark_s():
    """Each row of its table ends in a perplexity and seconds: the rounded medians of benchmarks/results.json."""
    root = Path(__file__).parents[1]
    results = json.loads((root / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    notebook = (root / "notebooks" / "06_long_sequences.ipynb").read_text(encoding="utf-8")
    for name in (
        "heldout_perplexity_book_recipe",
        "heldout_perplexity_book_60s",
        "validation_perplexity_d2l_en_recipe",
        "validation_perplexity_d2l_en_split_20s",
    ):
        perplexity = f"{results[name]:.0f}" if results[name] > 20 else f"{results[name]:.1f}"
        assert f"| {perplexity} | {results['seconds_' + name]:.0f} |" in notebook, name
    assert results["heldout_perplexity_book_60s"] <= 4.8
    assert results["validation_perplexity_d2l_en_split_20s"] <= 6.4


def test_the_readme_s_figures_are_the_benchmark_s():
    root = Path(__file__).parents[1]
    results = json.loads((root / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    readme = (root / "README.md").read_text(encoding="utf-8")
    labs = [value for name, value in results.items() if name.startswith("lab_ms_") and "stop" not in name]
    for words in (
        "1 thread | {tokens_ratio_1_thread:.1f} times the book's |",
        "2 threads | {tokens_ratio_2_threads:.1f} times the book's |",
        "alone need, 1 and 2 threads | {share_of_matmul_bound:.0%} and {share_of_matmul_bound_2_threads:.0%} |",
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
        assert words.format_map(results) in readme
    assert results["heldout_perplexity_book_5s"] < 5.0
    assert results["gpu_tokens_ratio"] is not None or "No GPU was at hand" in readme
