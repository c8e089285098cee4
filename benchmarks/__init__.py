"""The figures of the README: `make bench` measures them and writes results.json and results.md beside this file."""
