"""Draws the CSV of a test function with pandas and matplotlib, for those who want to go on in Python.

    python3 process_result.py outputs/test_lmcache_local_cpu.csv

writes outputs/test_lmcache_local_cpu.pdf: TTFT and throughput of every request for each experiment, one line an engine,
then GPU memory over the experiments. Needs: pip install pandas matplotlib
"""

import json
import sys
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.backends.backend_pdf import PdfPages  # noqa: E402


def read_results(path):
    """One row a request; GPU memory as one column a GPU, in MiB."""
    results = pd.read_csv(path)
    memory = pd.json_normalize(results["gpu_memory"].apply(json.loads).tolist())
    return pd.concat([results.drop(columns="gpu_memory"), memory], axis=1)


def simulated_mark(path):
    """The notes beside the CSV say whether a simulator made it."""
    notes = Path(path).with_suffix(".json")
    simulated = json.loads(notes.read_text()).get("simulated") if notes.exists() else None
    return f"  (SIMULATED: {simulated['profile']})" if simulated else ""


def plot_requests(results, column, label, headroom, mark, pages):
    for expr_id, experiment in results.groupby("expr_id"):
        figure, axes = plt.subplots(figsize=(6, 3.6))
        for engine_id, requests in experiment.sort_values("request_id").groupby("engine_id"):
            axes.plot(requests["request_id"], requests[column], marker="o", label=f"engine {engine_id}")
        axes.set_title(f"Context len = {experiment['context_len'].max()}{mark}")
        axes.set_xlabel("request_id")
        axes.set_ylabel(label)
        axes.set_ylim(0, experiment[column].max() + headroom)
        axes.grid(True)
        axes.legend()
        pages.savefig(figure, bbox_inches="tight")
        plt.close(figure)


def plot_memory(results, mark, pages):
    gpus = [column for column in results.columns if column.startswith("gpu-")]
    if not gpus:
        return
    memory = results.groupby("expr_id")[gpus].max() / 1024
    axes = memory.plot(marker="o", grid=True, figsize=(6, 3.6), title=f"GPU memory{mark}")
    axes.set_ylabel("GPU memory (GiB)")
    axes.set_ylim(0, memory.max().max() + 10)
    pages.savefig(axes.figure, bbox_inches="tight")
    plt.close(axes.figure)


def process_result_file(path):
    results = read_results(path)
    mark = simulated_mark(path)
    output = Path(path).with_suffix(".pdf")
    with PdfPages(output) as pages:
        plot_requests(results, "TTFT", "TTFT (s)", 0.5, mark, pages)
        plot_requests(results, "throughput", "Tokens / s", 10, mark, pages)
        plot_memory(results, mark, pages)
    return output


if __name__ == "__main__":
    for csv in sys.argv[1:] or sorted(str(path) for path in Path(".").glob("*.csv")):
        print(f"{csv} -> {process_result_file(csv)}")
