#!/usr/bin/env python3
"""Recompute metrics and measurements independently and compare.

    pip install numpy scipy scikit-image
    UNET_ORACLE_DUMP=DIR go test ./bench/verify/oracle -run Dump   # writes DIR
    python3 bench/verify/oracle/check_metrics.py DIR               # compares

DIR holds NAME_truth.png, NAME_pred.png and NAME_image.png (16-bit) and
results.json, what the Go program computed from them. Instance metrics follow
stardist/matching.py (IoU matrix, Hungarian assignment by SciPy), AJI follows
Kumar et al. 2017, measurements are scikit-image's regionprops. Every number
must agree to 1e-9.

    python3 bench/verify/oracle/check_metrics.py DIR --golden FILE

also writes the numbers computed here to FILE, for the tests that run without
Python.
"""
import argparse
import json
import math
import pathlib
import sys

import numpy as np
from scipy.optimize import linear_sum_assignment
from skimage import io, measure


def iou_matrix(truth, pred):
    """Return the sorted ids and the matrices of shared pixels and of IoU."""
    t_ids, t = np.unique(truth, return_inverse=True)
    p_ids, p = np.unique(pred, return_inverse=True)
    inter = np.zeros((len(t_ids), len(p_ids)), np.int64)
    np.add.at(inter, (t.ravel(), p.ravel()), 1)
    union = inter.sum(1, keepdims=True) + inter.sum(0, keepdims=True) - inter
    keep_t, keep_p = t_ids != 0, p_ids != 0
    inter, union = inter[keep_t][:, keep_p], union[keep_t][:, keep_p]
    return inter, inter / np.maximum(union, 1)


def matching(truth, pred, tau):
    """stardist.matching.matching for one pair of label images."""
    _, iou = iou_matrix(truth, pred)
    n_true = len(np.setdiff1d(np.unique(truth), [0]))
    n_pred = len(np.setdiff1d(np.unique(pred), [0]))
    n = min(n_true, n_pred)
    matched = 0.0
    tp = 0
    if n > 0 and np.any(iou >= tau):
        costs = -(iou >= tau).astype(float) - iou / (2 * n)
        rows, cols = linear_sum_assignment(costs)
        ok = iou[rows, cols] >= tau
        tp = int(ok.sum())
        matched = float(iou[rows, cols][ok].sum())
    return {"tau": tau, "tp": tp, "fp": n_pred - tp, "fn": n_true - tp, "sum_iou": matched}


def scores(c):
    tp, fp, fn, s = c["tp"], c["fp"], c["fn"], c["sum_iou"]
    return {
        "tau": c["tau"],
        "precision": tp / (tp + fp) if tp > 0 else 0.0,
        "recall": tp / (tp + fn) if tp > 0 else 0.0,
        "ap": tp / (tp + fp + fn) if tp > 0 else 0.0,
        "f1": 2 * tp / (2 * tp + fp + fn) if tp > 0 else 0.0,
        "sq": s / tp if tp > 0 else 0.0,
        "pq": s / (tp + fp / 2 + fn / 2) if tp > 0 else 0.0,
        "mean_true_iou": s / (tp + fn) if tp > 0 else 0.0,
    }


def aji(truth, pred):
    """Kumar et al. 2017: best predicted object for each true one."""
    union = inter = 0
    used = set()
    for t in np.setdiff1d(np.unique(truth), [0]):
        mask = truth == t
        best, best_iou, best_union = None, 0.0, 0
        for p in np.setdiff1d(np.unique(pred[mask]), [0]):
            other = pred == p
            i, u = int((mask & other).sum()), int((mask | other).sum())
            if i / u > best_iou:
                best, best_iou, best_union, best_inter = p, i / u, u, i
        if best is None:
            union += int(mask.sum())
        else:
            inter += best_inter
            union += best_union
            used.add(best)
    for p in np.setdiff1d(np.unique(pred), [0]):
        if p not in used:
            union += int((pred == p).sum())
    return inter, union


def pixels(truth, pred):
    t, p = truth > 0, pred > 0
    return {"tp": int((t & p).sum()), "fp": int((~t & p).sum()), "fn": int((t & ~p).sum()), "tn": int((~t & ~p).sum())}


def regions(labels, image):
    out = []
    for r in measure.regionprops(labels, intensity_image=image):
        values = r.image_intensity[r.image].astype(np.float64)
        out.append({
            "id": int(r.label), "area": float(r.area), "x0": r.bbox[1], "y0": r.bbox[0], "x1": r.bbox[3], "y1": r.bbox[2],
            "y": r.centroid[0], "x": r.centroid[1], "perimeter": float(r.perimeter),
            "major_axis": r.axis_major_length, "minor_axis": r.axis_minor_length,
            "orientation": r.orientation, "eccentricity": float(r.eccentricity), "solidity": float(r.solidity),
            "equivalent_diameter": float(r.equivalent_diameter_area), "feret_max": float(r.feret_diameter_max),
            "mean": float(r.intensity_mean), "min": float(r.intensity_min), "max": float(r.intensity_max),
            "std": float(r.intensity_std), "sum": float(values.sum()),
        })
    return out


def compute(folder, taus):
    pairs, counts = [], []
    for path in sorted(folder.glob("*_truth.png")):
        name = path.name.removesuffix("_truth.png")
        truth = io.imread(path).astype(np.int64)
        pred = io.imread(folder / f"{name}_pred.png").astype(np.int64)
        image = io.imread(folder / f"{name}_image.png").astype(np.float64)
        at = [matching(truth, pred, tau) for tau in taus]
        inter, union = aji(truth, pred)
        counts.append(at)
        pairs.append({"name": name, "at": at, "aji_inter": inter, "aji_union": union,
                      "pixels": pixels(truth, pred), "regions": regions(truth, image)})
    pooled, per_image = [], []
    for i, tau in enumerate(taus):
        total = {k: sum(c[i][k] for c in counts) for k in ("tp", "fp", "fn", "sum_iou")}
        pooled.append(scores({"tau": tau, **total}))
        each = [scores(c[i]) for c in counts]
        per_image.append({k: float(np.mean([e[k] for e in each])) for k in each[0]})
    return {"taus": taus, "pairs": pairs, "pooled": pooled, "per_image": per_image}


def compare(want, got, where, wrong):
    """Collect the places where got differs from want; return the number of values compared."""
    if isinstance(want, dict):
        n = 0
        for k, v in want.items():
            if k == "orientation":
                if want["major_axis"] - want["minor_axis"] < 1e-6:
                    continue  # a round object has no orientation
                d = abs(v - got[k]) % math.pi
                v, got = 0.0, {**got, k: min(d, math.pi - d)}
            n += compare(v, got[k], f"{where}.{k}", wrong)
        return n
    if isinstance(want, list):
        if len(want) != len(got):
            wrong.append(f"{where}: {len(got)} entries, want {len(want)}")
            return 1
        return sum(compare(w, g, f"{where}[{i}]", wrong) for i, (w, g) in enumerate(zip(want, got)))
    if isinstance(want, str):
        if want != got:
            wrong.append(f"{where}: {got!r}, want {want!r}")
    elif abs(want - got) > 1e-9 * max(1.0, abs(want)):
        wrong.append(f"{where}: {got!r}, want {want!r}")
    return 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--golden", type=pathlib.Path, help="write the numbers computed here to this file")
    args = parser.parse_args()
    got = json.loads((args.dir / "results.json").read_text())
    want = compute(args.dir, got["taus"])
    if args.golden:
        args.golden.write_text(json.dumps(want) + "\n")
    wrong = []
    n = compare(want, got, "", wrong)
    for line in wrong[:20]:
        print(line)
    nuclei = sum(len(p["regions"]) for p in want["pairs"])
    print(f"{len(want['pairs'])} pairs of label images, {nuclei} nuclei measured, {n} numbers compared, {len(wrong)} differ by more than 1e-9")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
