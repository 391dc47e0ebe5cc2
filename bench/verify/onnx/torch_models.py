"""Writes U-Nets of PyTorch as torch.onnx exports them, with an input and their maps.

    python bench/verify/onnx/torch_models.py DIR [small] [NAME...]

needs torch, onnx, onnxscript and safetensors. For each network: NAME.script.onnx
(the TorchScript exporter), NAME.train.onnx (the same, batch-norm kept),
NAME.dynamo.onnx (torch.export), NAME.x.npy and NAME.y.npy; of the paper's network
paper.safetensors (the state dict), too. The weights are
random: it is the same network that matters, not a good one. `small` writes the
few tiny ones that are kept in unet/onnx/testdata/exported; with names, only these.
"""

import sys
import warnings

import numpy as np
import onnx
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

warnings.filterwarnings("ignore")
out, small, only = sys.argv[1], "small" in sys.argv[2:], set(sys.argv[2:]) - {"small"}
print("torch", torch.__version__)
torch.manual_seed(1)


def forget_where(file):
    """Takes out of a model the traces of the machine that it was exported on."""
    m = onnx.load(file)
    for part in [m, m.graph, *m.graph.node, *m.functions, *(n for f in m.functions for n in f.node)]:
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(m, file)


def block(i, o, norm=True, act=nn.ReLU, pad=1, last=False, group=0):
    """group: channels that share the statistics of group norm."""
    layers = []
    for c in (i, o):
        conv, bn, relu = nn.Conv2d(c, o, 3, padding=pad, bias=not norm), nn.GroupNorm(o // group, o) if group else nn.BatchNorm2d(o), act()
        layers += [conv] + ([relu, bn] if last else [bn, relu] if norm else [relu])
    return nn.Sequential(*layers)


class Residual(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(), nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o))
        self.shortcut = nn.Sequential(nn.Conv2d(i, o, 1), nn.BatchNorm2d(o))

    def forward(self, x):
        return F.relu(self.shortcut(x) + self.body(x))


class Gate(nn.Module):
    """Attention as in Oktay et al. 2018, in the form that most copies have."""

    def __init__(self, c):
        super().__init__()
        self.g, self.x = (nn.Sequential(nn.Conv2d(c, c // 2, 1), nn.BatchNorm2d(c // 2)) for _ in range(2))
        self.psi = nn.Sequential(nn.Conv2d(c // 2, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, g, x):
        return x * self.psi(F.relu(self.g(g) + self.x(x)))


class UNet(nn.Module):
    def __init__(self, channels=1, widths=(8, 16, 32), maps=1, up="transposed", skip_first=True, padded=False, final="sigmoid", stride=False, residual=False, gates=False, **options):
        super().__init__()
        if small:
            widths = (4, 8)
        block = Residual if residual else globals()["block"]
        self.gates = nn.ModuleList(Gate(c) for c in widths[-2::-1]) if gates else [None] * len(widths)
        self.skip_first, self.padded, self.final = skip_first, padded, final
        self.encoder, self.ups, self.decoder, self.pools = (nn.ModuleList() for _ in range(4))
        for i, o in zip((channels, *widths), widths[:-1]):
            self.encoder.append(block(i, o, **options))
            self.pools.append(nn.Conv2d(o, o, 2, stride=2) if stride else nn.MaxPool2d(2))
        self.bottom = block(widths[-2], widths[-1], **options)
        for i, o in zip(widths[:0:-1], widths[-2::-1]):
            below = i if up == "plain" else o
            self.ups.append({"transposed": lambda: nn.ConvTranspose2d(i, o, 2, stride=2), "plain": lambda: nn.Upsample(scale_factor=2),
                             "conv": lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU())}.get(
                up, lambda: nn.Sequential(nn.Upsample(scale_factor=2, mode=up), nn.Conv2d(i, o, 1)))())
            self.decoder.append(block(below + o, o, **options))
        self.head = nn.Conv2d(widths[0], maps, 1)
        for m in self.modules():
            if isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.uniform_(m.weight, 0.5, 1.5)
                nn.init.normal_(m.bias, 0, 0.3)
            if isinstance(m, nn.BatchNorm2d):
                nn.init.normal_(m.running_mean, 0, 0.3)
                nn.init.uniform_(m.running_var, 0.3, 2)

    def forward(self, x):
        skips = []
        for enc, pool in zip(self.encoder, self.pools):
            skips.append(enc(x))
            x = pool(skips[-1])
        x = self.bottom(x)
        for up, dec, skip, gate in zip(self.ups, self.decoder, skips[::-1], self.gates):
            x = up(x)
            skip = gate(x, skip) if gate else skip
            if self.padded:  # for images of odd sides
                dy, dx = skip.size(2) - x.size(2), skip.size(3) - x.size(3)
                x = F.pad(x, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
            x = dec(torch.cat([skip, x] if self.skip_first else [x, skip], 1))
        x = self.head(x)
        return {"sigmoid": torch.sigmoid, "softmax": lambda v: torch.softmax(v, 1), "logits": lambda v: v}[self.final](x)


cases = {
    "bn": {},
    "nobn": dict(norm=False),
    "upfirst": dict(skip_first=False),
    "rgb3": dict(channels=3, maps=3),
    "odd": dict(widths=(12, 20, 52, 100)),  # not twice as many a level
    "nearest": dict(up="nearest"),
    "plain": dict(up="plain"),
    "pad": dict(padded=True),
    "softmax": dict(final="softmax", maps=2),
    "residual": dict(residual=True),
    "attention": dict(up="conv", gates=True),
    "group": dict(group=16, widths=(16, 32, 64)),
    "paper": dict(channels=3, widths=(16, 32, 64, 128, 256)),
    # To be refused:
    "logits": dict(final="logits"),
    "bilinear": dict(up="bilinear"),
    "three": dict(final="softmax", maps=3),
    "stride": dict(stride=True),
    "leaky": dict(act=nn.LeakyReLU),
    "bnlast": dict(last=True),
    "group8": dict(group=8, widths=(16, 32, 64)),
}
for name, options in cases.items():
    if small and name not in ("bn", "bilinear", "softmax", "residual", "attention") or only and name not in only:
        continue
    net = UNet(**options).eval()
    x = torch.rand(1, options.get("channels", 1), 32, 48)
    with torch.no_grad():
        y = net(x)
    if name == "logits":
        y = torch.sigmoid(y)
    if name == "softmax":
        y = y[:, 1:]
    np.save(f"{out}/{name}.x.npy", x.numpy())
    np.save(f"{out}/{name}.y.npy", y.numpy())
    old = dict(dynamo=False, input_names=["x"], output_names=["y"])
    torch.onnx.export(net, (x,), f"{out}/{name}.script.onnx", opset_version=17, dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}}, **old)
    if name == "bilinear":
        continue
    if name == "paper":
        save_file(net.state_dict(), f"{out}/{name}.safetensors")
    if name == "bn":
        torch.onnx.export(net, (x,), f"{out}/{name}.train.onnx", opset_version=17, training=torch.onnx.TrainingMode.PRESERVE,
                          do_constant_folding=False, **old)
    if name == "group":  # where the operator for it is
        torch.onnx.export(net, (x,), f"{out}/{name}.dynamo21.onnx", dynamo=True, opset_version=21, verbose=False)
    if name in ("bn", "nearest", "odd", "attention", "group") and not (small and name != "bn"):
        sides = ({2: 8 * torch.export.Dim("h", min=2, max=256), 3: 8 * torch.export.Dim("w", min=2, max=256)},) if name != "odd" else None
        torch.onnx.export(net, (x,), f"{out}/{name}.dynamo.onnx", dynamo=True, external_data=name == "odd", verbose=False, dynamic_shapes=sides)
        if small:
            forget_where(f"{out}/{name}.dynamo.onnx")
    print(name, "written")
