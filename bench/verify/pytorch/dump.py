"""Dumps what PyTorch computes on small U-Nets, for unet/pytorch_test.go.

    python bench/verify/pytorch/dump.py [unet/testdata]

needs only torch (CPU) and writes pytorch_NAME.safetensors of every network in
NETWORKS. `small` is the paper's at depth 2, width 16: per level two 3x3
convolutions without bias, each with batch-norm and ReLU; 2x2 max-pool; 2x2
transposed convolution with bias, concatenated before the skip connection; 1x1
convolution with bias, sigmoid, mean binary cross-entropy. `blocks` has residual
blocks, attention gates and enlarging by nearest neighbour, with batch-norm,
`group` the same with group norm, at depth 1.
It is trained for 10 steps of Adam on one batch, in float64, so that the file
is the truth to which float32 programs may be compared; how far PyTorch's own
float32 is from it stands in the metadata.

Tensors, P being a parameter's name in unet's model files (enc0.conv1.weight,
enc0.norm1.bias, bottom.conv2.weight, dec0.up.weight, head.bias, ...):

    input [2,3,16,24], target [2,1,16,24]
    param.P      initial values, exact in half precision (F16)
    logits       of the first forward pass, training mode
    grad.P       gradient of the loss in the first step
    losses [11]  before each step and after the last
    delta.P      change of P by the 10 steps, divided by the learning rate
    running.P    running_mean and running_var after the 10 steps
    eval_logits  of the trained network in evaluation mode

Metadata: rate, epsilon, steps, seed, torch, and float32.NAME = the root mean square error
of PyTorch's float32 relative to that of the values, over all tensors of a group:
the greatest of RUNS runs, all but the first of which begin with weights off by
some units in the last place, as one run alone may be lucky. Adam divides a gradient
by its size, so rounding decides the direction of steps where it is near zero, or a
unit's input is; ten steps would tell more about luck than about the program. Hence
an EPSILON that is no smaller than such gradients, and as seed the first with which
no run strays more than STRAY.
"""

import itertools
import json
import math
import struct
import sys

import torch
from torch import nn
from torch.nn import functional as F

WIDTH, RATE, EPSILON, STEPS = 16, 1e-3, 1e-4, 10
RUNS, STRAY = 4, 2e-5
NETWORKS = {
    "small": dict(depth=2, norm="batch", block="plain", up="transposed", attention=False),
    "blocks": dict(depth=1, norm="batch", block="residual", up="nearest", attention=True),
    "group": dict(depth=1, norm="group", block="residual", up="nearest", attention=True),
}


def norm(kind, c):
    return nn.BatchNorm2d(c) if kind == "batch" else nn.GroupNorm(c // 16, c)


class Block(nn.Module):
    def __init__(self, ic, oc, a):
        super().__init__()
        if a["block"] == "residual":
            self.shortcut, self.norm0 = nn.Conv2d(ic, oc, 1, bias=False), norm(a["norm"], oc)
        self.conv1, self.norm1 = nn.Conv2d(ic, oc, 3, padding=1, bias=False), norm(a["norm"], oc)
        self.conv2, self.norm2 = nn.Conv2d(oc, oc, 3, padding=1, bias=False), norm(a["norm"], oc)

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if hasattr(self, "shortcut"):
            y = y + self.norm0(self.shortcut(x))
        return F.relu(y)


class Nearest(nn.Module):
    def __init__(self, ic, oc, a):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(ic, oc, 3, padding=1, bias=False), norm(a["norm"], oc)

    def forward(self, x):
        return F.relu(self.norm(self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))))


class Gate(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(2 * c, max(16, c // 2), 1)
        self.psi = nn.Conv2d(max(16, c // 2), 1, 1)

    def forward(self, skip, up):
        return skip * torch.sigmoid(self.psi(F.relu(self.conv(torch.cat([skip, up], dim=1)))))


class Up(Block):
    def __init__(self, c, a):
        super().__init__(2 * c, c, a)
        self.up = Nearest(2 * c, c, a) if a["up"] == "nearest" else nn.ConvTranspose2d(2 * c, c, 2, stride=2)
        if a["attention"]:
            self.gate = Gate(c)

    def forward(self, x, skip):
        x = self.up(x)
        if hasattr(self, "gate"):
            skip = self.gate(skip, x)
        return super().forward(torch.cat([x, skip], dim=1))


class UNet(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.depth = a["depth"]
        ic = 3
        for level in range(self.depth):
            self.add_module(f"enc{level}", Block(ic, WIDTH << level, a))
            ic = WIDTH << level
        self.bottom = Block(ic, WIDTH << self.depth, a)
        for level in range(self.depth):
            self.add_module(f"dec{level}", Up(WIDTH << level, a))
        self.head = nn.Conv2d(WIDTH, 1, 1)

    def forward(self, x):
        skips = []
        for level in range(self.depth):
            x = getattr(self, f"enc{level}")(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for level in reversed(range(self.depth)):
            x = getattr(self, f"dec{level}")(x, skips[level])
        return self.head(x)


def initial(net, g):
    """He initialisation, scales and shifts away from 1 and 0, exact in F16."""
    for p in net.parameters():
        if p.dim() == 4:
            fan = p.shape[0] if p.shape[2] == 2 else p[0].numel()
            v = torch.randn(p.shape, generator=g) * math.sqrt(2 / fan)
        else:
            v = p.detach().float() + 0.1 * torch.randn(p.shape, generator=g)
        p.data = v.half().to(p.dtype)


def run(net, x, t):
    """Returns everything that is dumped, by name, in the net's precision."""
    out = {}
    before = {k: p.detach().clone() for k, p in net.named_parameters()}
    adam = torch.optim.Adam(net.parameters(), lr=RATE, eps=EPSILON)
    net.train()
    losses = []
    for step in range(STEPS + 1):
        adam.zero_grad()
        logits = net(x) if step < STEPS else logits_without_statistics(net, x)
        loss = F.binary_cross_entropy_with_logits(logits, t)
        losses.append(loss.detach())
        if step == STEPS:
            break
        loss.backward()
        if step == 0:
            out["logits"] = logits.detach()
            out.update({f"grad.{k}": p.grad.clone() for k, p in net.named_parameters()})
        adam.step()
    out["losses"] = torch.stack(losses)
    out.update({f"delta.{k}": (p.detach() - before[k]) / RATE for k, p in net.named_parameters()})
    out.update({f"running.{k}": v.clone() for k, v in net.named_buffers() if "running" in k})
    net.eval()
    out["eval_logits"] = net(x).detach()
    return out


def logits_without_statistics(net, x):
    """A training-mode forward pass that leaves the running statistics alone."""
    saved = {k: v.clone() for k, v in net.named_buffers()}
    logits = net(x)
    for k, v in net.named_buffers():
        v.copy_(saved[k])
    return logits


def write(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, v in tensors.items():
        kind, code = ("F16", "e") if name.startswith("param.") else ("F32", "f")
        raw = struct.pack(f"<{v.numel()}{code}", *v.flatten().tolist())
        header[name] = {"dtype": kind, "shape": list(v.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def compare(a, seed):
    """Returns the tensors of a seed and how far float32 strays, by group."""
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(2, 3, 16, 24, generator=g)
    t = (F.avg_pool2d(x.mean(1, keepdim=True), 5, 1, 2, count_include_pad=False) > 0.5).float()
    net = UNet(a)
    initial(net, g)
    params = {f"param.{k}": p.detach().clone() for k, p in net.named_parameters()}
    singles = []
    for i in range(RUNS):
        net = UNet(a)
        for k, p in net.named_parameters():
            v = params[f"param.{k}"].clone()
            p.data = v if i == 0 else v * (1 + 2**-21 * torch.randn(v.shape, generator=g).sign())
        singles.append(run(net, x, t))
    net = UNet(a).double()
    for k, p in net.named_parameters():
        p.data = params[f"param.{k}"].double()
    double = run(net, x.double(), t.double())

    stray = {}
    for group in ["logits", "grad", "losses", "delta", "running", "eval_logits"]:
        own = [k for k in double if k == group or k.startswith(group + ".")]
        ref = sum(float((double[k] ** 2).sum()) for k in own)
        err = max(sum(float(((s[k].double() - double[k]) ** 2).sum()) for k in own) for s in singles)
        if ref:
            stray[group] = math.sqrt(err / ref)
    return {"input": x, "target": t, **params, **double}, stray


def dump(path, a):
    for seed in itertools.count(2016):
        tensors, stray = compare(a, seed)
        print(path, seed, {k: f"{v:.2g}" for k, v in stray.items()}, flush=True)
        if max(stray.values()) <= STRAY:
            break
    metadata = {"rate": repr(RATE), "epsilon": repr(EPSILON), "steps": str(STEPS), "seed": str(seed), "torch": torch.__version__.split("+")[0]}
    write(path, tensors, {**metadata, **{f"float32.{k}": f"{v:.2g}" for k, v in stray.items()}})
    print("losses", [round(float(v), 6) for v in tensors["losses"]], "foreground", float(tensors["target"].mean()))


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "unet/testdata"
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, a in NETWORKS.items():
        dump(f"{folder}/pytorch_{name}.safetensors", a)


main()
