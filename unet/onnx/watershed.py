"""Nuclei from the maps of a U-Net, as `unet predict` separates them.

A package whose last output is `nuclei` calls this by itself, as post-processing of
that output. Where a program runs no such step, call it on the maps:

    from watershed import Watershed, landscape

    labels = Watershed(**parameters)(landscape(maps, **weights))

with the numbers that the package's README names. Needs numpy alone.

Peaks of the landscape of sufficient height and prominence (Grimaud's dynamics) start a
nucleus each; Meyer's flooding spreads from them in 255 levels. Nuclei are joined by edges
of pixels, and numbered from 1 in the order of their first pixels.
"""

import numpy as np


def landscape(maps, foreground, border=1.0):
    """The landscape of a dict of maps, -1 where no nucleus can be.

    maps has "foreground" and may have "border" and "distance", arrays of one shape;
    foreground is the threshold of the first, border the weight of the second.
    """
    inside = np.asarray(maps["foreground"], np.float32)
    height = np.ones_like(inside)
    if "distance" in maps:
        height = np.asarray(maps["distance"], np.float32)
    elif "border" in maps:
        height = inside
    if "border" in maps:
        height = height * (1 - np.float32(border) * np.asarray(maps["border"], np.float32))
    return np.where(inside > np.float32(foreground), height, np.float32(-1))


class Watershed:
    """Labels of landscapes: seed is the least height of a peak, prominence how far it rises
    above the saddle to a higher one, min_area the least number of pixels of a nucleus."""

    def __init__(self, seed, prominence, min_area=0, fill_holes=True, remove_edge=False):
        self.seed = int(_quantise(np.float32(seed)))
        self.rise = max(1, int(prominence * 254 + 0.5))
        self.min_area, self.fill_holes, self.remove_edge = min_area, fill_holes, remove_edge

    def __call__(self, *arrays):
        """Labels, uint32, of an array [..., height, width]; of several, of the last."""
        x = np.asarray(arrays[-1], np.float32)
        planes = x.reshape(-1, *x.shape[-2:])
        return np.stack([self._plane(p) for p in planes]).reshape(x.shape)

    def _plane(self, heights):
        h, w = heights.shape
        stride = w + 2  # a frame of background: every pixel has all neighbours
        level = np.zeros((h + 2, stride), np.int64)
        level[1:-1, 1:-1] = np.where(heights >= 0, _quantise(heights), 0)
        flat = level.ravel()
        pixels = np.flatnonzero(flat)
        order = pixels[np.argsort(-flat[pixels], kind="stable")].tolist()
        flat = flat.tolist()
        labels = [0] * len(flat)
        peaks = self._peaks(flat, order, stride)
        _flood(flat, labels, stride, peaks, 1)
        # Peaks are told apart across corners, but floods spread across edges: a piece
        # that hangs by a corner is a nucleus of its own.
        count = len(peaks)
        for p in order:
            if flat[p] < self.seed:
                break
            if not labels[p]:
                count += 1
                _flood(flat, labels, stride, [p], count)
        return self._clean(np.array(labels, np.uint32).reshape(h + 2, stride), count)

    def _peaks(self, level, order, stride):
        """The first pixel of every peak that counts, in raster order."""
        link = [-1] * len(level)
        around = (-stride - 1, -stride, -stride + 1, -1, 1, stride - 1, stride, stride + 1)
        peaks = []
        for p in order:  # from the top: where two components meet, the lower peak is known
            link[p] = root = p
            for d in around:
                q = p + d
                if link[q] < 0:
                    continue
                while link[q] != q:
                    link[q] = link[link[q]]
                    q = link[q]
                if q == root:
                    continue
                high, low = root, q
                if (level[q], -q) > (level[root], -root):
                    high, low = q, root
                if level[low] - level[p] >= self.rise and level[low] >= self.seed:
                    peaks.append(low)
                link[low] = high
                root = high
        peaks += [p for p in order if link[p] == p and level[p] >= self.seed]
        return sorted(peaks)

    def _clean(self, labels, count):
        """Without what is small, with holes filled, numbered anew; the frame goes."""
        area = np.bincount(labels.ravel(), minlength=count + 1)
        labels[(area < self.min_area)[labels]] = 0
        if self.fill_holes:
            _fill(labels)
        labels = labels[1:-1, 1:-1]
        if self.remove_edge:
            edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
            labels = np.where(np.isin(labels, edge), 0, labels)
        found, first = np.unique(labels, return_index=True)
        number = np.zeros(count + 1, np.uint32)
        nuclei = found > 0
        number[found[nuclei][np.argsort(first[nuclei])]] = np.arange(1, nuclei.sum() + 1)
        return number[labels]


def _quantise(s):
    """0..1 as levels 1..255."""
    return 1 + (np.clip(s, 0, 1) * np.float32(254) + np.float32(0.5)).astype(np.int64)


def _flood(level, labels, stride, peaks, first):
    """Spreads from peaks in order of level, with one queue for each."""
    queues = [[] for _ in range(256)]
    for number, p in enumerate(peaks, first):
        labels[p] = number
        queues[level[p]].append(p)
    for now in range(255, 0, -1):
        for p in queues[now]:  # which grows meanwhile
            for q in (p - stride, p - 1, p + 1, p + stride):
                if level[q] and not labels[q]:
                    labels[q] = labels[p]
                    queues[min(level[q], now)].append(q)


def _fill(labels):
    """Gives a hole that one nucleus encloses to that nucleus."""
    h, w = labels.shape
    flat = labels.ravel()
    runs, parent, above = [], [], []

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for y in range(h):
        change = np.flatnonzero(np.diff(np.concatenate([[False], labels[y] == 0, [False]]).astype(np.int8)))
        row = []
        for start, end in zip((change[::2] + y * w).tolist(), (change[1::2] + y * w).tolist()):
            i = len(runs)
            runs.append((start, end))
            parent.append(i)
            row.append(i)
            for j in above:
                if runs[j][0] + w < end and start < runs[j][1] + w:
                    a, b = root(i), root(j)
                    parent[max(a, b)] = min(a, b)
        above = row
    around = {}
    for i, (start, end) in enumerate(runs):
        if root(i):  # 0 is the frame, and what joins it
            owners = around.setdefault(root(i), set())
            owners.update((int(flat[start - 1]), int(flat[end])))
            owners.update(np.unique(flat[start - w : end - w]).tolist(), np.unique(flat[start + w : end + w]).tolist())
    for i, (start, end) in enumerate(runs):
        owners = around.get(root(i), set()) - {0}
        if len(owners) == 1:
            flat[start:end] = owners.pop()
