"""One picture for each file of raw rounds: medians as bars, their spread as a line.

python benchmarks/_plot.py docs/figures/*.json      writes an SVG beside each
"""

import json
import statistics
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt  # after the choice of what draws

OURS, PEER, RAW = "#1f6f8b", "#b9c4c9", "#e3d5b8"
BARE = ("raw", "RPUSH", "pipeline")  # what is no system but the limit


def draw(file):
    """The figure that was asked for first, contender by contender."""
    kept = json.loads(file.read_text(encoding="utf-8"))
    rounds = kept["rounds"]
    asked = next(iter(next(iter(rounds.values()))[0]))
    values = {name: [figures[asked] for figures in told] for name, told in rounds.items()}
    middles = {name: statistics.median(each) for name, each in values.items()}
    names = list(middles)
    chart, axes = plt.subplots(figsize=(7.2, 0.9 + 0.42 * len(names)), layout="constrained")
    spread = [
        [middles[name] - min(values[name]) for name in names],
        [max(values[name]) - middles[name] for name in names],
    ]
    axes.barh(
        names,
        list(middles.values()),
        xerr=spread,
        color=[colour(name) for name in names],
        error_kw={"ecolor": "#555555", "elinewidth": 1, "capsize": 2},
        height=0.68,
    )
    for place, name in enumerate(names):
        label = f" {middles[name]:,.0f}" if middles[name] >= 100 else f" {middles[name]:.3g}"
        axes.text(max(values[name]), place, label, va="center", fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.set_xlim(left=0)
    axes.set_title(f"{kept['question']}: {asked}", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    chart.savefig(file.with_suffix(".svg"), metadata={"Date": None})
    plt.close(chart)


def colour(name):
    """Ours, a peer's, or the limit's."""
    ours = name.startswith(("penstock", "delay", "adelay", "send_many"))
    return OURS if ours else RAW if name.startswith(BARE) else PEER


def main():
    mpl.rcParams["svg.hashsalt"] = "penstock"  # the same rounds, the same file
    for name in sys.argv[1:]:
        draw(Path(name))


if __name__ == "__main__":
    main()
