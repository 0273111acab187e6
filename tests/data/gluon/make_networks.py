"""Makes the networks in the folder networks/: symbols, parameters, and what MXNet computes with them.

Runs in an environment of its own with Python 3.11, mxnet==1.9.1 and numpy==1.23.5: python tests/data/gluon/make_networks.py
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

# Its gradients of pooling are wrong where no statistics of a batch are taken; finite differences tell.
os.environ["MXNET_ONEDNN_ENABLED"] = os.environ["MXNET_MKLDNN_ENABLED"] = "0"

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn
from mxnet.gluon.model_zoo.vision import densenet, mobilenet, resnet, squeezenet

HERE = Path(__file__).parent / "networks"


class Residual(gluon.HybridBlock):
    """A bottleneck with a skip around it."""

    def __init__(self, channels, inner, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.part1 = nn.HybridSequential()
            self.part1.add(nn.Conv2D(inner, 1), nn.Conv2D(channels, 1))

    def hybrid_forward(self, F, x):
        return F.relu(self.part1(x) + x)


class UNet(gluon.HybridBlock):
    """A U-Net of three levels."""

    def __init__(self, base=4, classes=4, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.encoder = nn.HybridSequential()
            self.decoder = nn.HybridSequential()
            with self.encoder.name_scope():
                for factor in (1, 2, 4):
                    self.encoder.add(self.level(base * factor))
            with self.decoder.name_scope():
                self.decoder.add(self.level(base * 2), self.level(base))
                with self.decoder[1].name_scope():
                    self.decoder[1].add(nn.Conv2D(classes, 1))

    def level(self, channels):
        level = nn.HybridSequential()
        with level.name_scope():
            for _ in range(2):
                level.add(nn.Conv2D(channels, 3, padding=1), nn.BatchNorm(), nn.Activation("relu"))
        return level

    def hybrid_forward(self, F, x):
        e1 = self.encoder[0](x)
        e2 = self.encoder[1](F.Pooling(e1, kernel=(2, 2), stride=(2, 2), pool_type="max"))
        e3 = self.encoder[2](F.Pooling(e2, kernel=(2, 2), stride=(2, 2), pool_type="max"))
        d2 = self.decoder[0](F.concat(F.UpSampling(e3, scale=2, sample_type="nearest"), e2, dim=1))
        d1 = self.decoder[1](F.concat(F.UpSampling(d2, scale=2, sample_type="nearest"), e1, dim=1))
        return F.softmax(d1, axis=1)


class Twins(gluon.HybridBlock):
    """Two inputs through one encoder, one dense layer with the weights of another one, and two results."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.head = nn.HybridSequential(prefix="head_")  # registered first, used last
            with self.head.name_scope():
                self.head.add(nn.Dense(6), nn.LayerNorm(), nn.Dense(3))
            self.encoder = nn.HybridSequential()
            with self.encoder.name_scope():
                self.encoder.add(nn.Conv2D(4, 3, activation="relu"), nn.BatchNorm(), nn.Conv2D(4, 3, groups=2, use_bias=False))
                self.encoder.add(nn.PReLU(), nn.Conv2DTranspose(4, 2, strides=2), nn.InstanceNorm(), nn.Flatten())
            self.one = nn.Dense(5, in_units=400)
            self.same = nn.Dense(5, in_units=400, params=self.one.params)
            self.again = self.encoder

    def hybrid_forward(self, F, x, y):
        x, y = self.encoder(x), self.again(y)
        near = F.concat(self.one(x), self.same(y), dim=1)
        return self.head(near), F.elemwise_mul(self.one(x), self.same(y))


class Flat(gluon.HybridBlock):
    """Layers that were made outside of a scope, with prefixes of their own, and in another order than they are used."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.output = nn.Dense(2, prefix="output_")
        self.query = nn.Dense(4, prefix="query_", in_units=4)
        self.key = nn.Dense(4, prefix="key_", in_units=4)
        self.second = nn.Dense(4, in_units=4)
        self.first = nn.Dense(4, in_units=4)
        self.norms = nn.HybridSequential()
        self.norms.add(*[nn.BatchNorm() for _ in range(11)])

    def hybrid_forward(self, F, x):
        x = self.second(self.first(x))
        return self.output(self.norms(self.key(x) * F.sigmoid(self.query(x))))


class Mixed(gluon.HybridBlock):
    """Blocks of blocks, some without scopes, with a parameter of their own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.features = nn.HybridSequential(prefix="")
            self.features.add(nn.Conv2D(4, 3, padding=1), nn.BatchNorm())
            for i in range(2):
                stage = nn.HybridSequential(prefix=f"stage{i + 1}_")
                with stage.name_scope():
                    stage.add(resnet.BasicBlockV1(4 * (i + 1), 1, i > 0, in_channels=4, prefix=""))
                    stage.add(resnet.BasicBlockV1(4 * (i + 1), 1, False, prefix=""))
                self.features.add(stage)
            self.features.add(nn.GlobalAvgPool2D(), nn.Flatten())
            self.output = nn.Dense(3)

    def hybrid_forward(self, F, x):
        return self.output(self.features(x))


NETWORKS = {
    "residual": (lambda: Residual(16, 4, prefix="example0_"), [(2, 16, 4, 4)]),
    "unet": (lambda: UNet(prefix="unet0_"), [(1, 3, 16, 16)]),
    "twins": (lambda: Twins(prefix="twins0_"), [(2, 3, 9, 9), (2, 3, 9, 9)]),
    "flat": (lambda: Flat(prefix="flat0_"), [(3, 4)]),
    "mixed": (lambda: Mixed(prefix="mixed0_"), [(2, 3, 8, 8)]),
}


ZOO = {
    "resnet_v1": (lambda: resnet.ResNetV1(resnet.BottleneckV1, [1, 2], [4, 8, 16], classes=5), 64),
    "resnet_v1_basic": (lambda: resnet.ResNetV1(resnet.BasicBlockV1, [1, 2], [4, 4, 8], classes=5), 64),
    "resnet_v2": (lambda: resnet.ResNetV2(resnet.BottleneckV2, [1, 2], [4, 8, 16], classes=5), 64),
    "squeezenet": (lambda: squeezenet.SqueezeNet("1.1", classes=5), 224),
    "densenet": (lambda: densenet.DenseNet(8, 4, [2, 2], classes=5), 224),
    "mobilenet_v1": (lambda: mobilenet.MobileNet(0.25, classes=5), 64),
    "mobilenet_v2": (lambda: mobilenet.MobileNetV2(0.25, classes=5), 64),
}


def by_rule(name, shape):
    """Numbers that both sides can make: those of a parameter depend on its name and its shape alone."""
    start = sum(ord(letter) * (i + 1) for i, letter in enumerate(name)) % 1000
    wave = np.sin(np.arange(int(np.prod(shape)), dtype=np.float64) * 12.9898 + start)
    if name.endswith(("gamma", "var")):
        wave = 1 + 0.3 * wave
    elif name.endswith(("beta", "mean", "bias")):
        wave = 0.2 * wave
    else:
        wave = wave * np.sqrt(4.0 / np.prod(shape[1:]))
    return wave.reshape(shape).astype("float32")


def filled(net, inputs):
    """The network with numbers by the rule."""
    net.initialize()
    net.hybridize()
    net(*inputs)
    for name, parameter in net.collect_params().items():
        parameter.set_data(mx.nd.array(by_rule(name, parameter.shape)))
    return net


def references(net, inputs):
    """Outputs, inner values, and gradients, without the statistics of the batch."""
    for value in inputs:
        value.attach_grad()
    with autograd.record(train_mode=False):
        results = net(*inputs)
        results = results if isinstance(results, (list, tuple)) else [results]
        probes = [mx.nd.array(by_rule(f"probe{i}", result.shape)) for i, result in enumerate(results)]
        loss = sum((result * probe).sum() for result, probe in zip(results, probes, strict=True))
    loss.backward(train_mode=False)
    found = {f"input/{i}": value.asnumpy() for i, value in enumerate(inputs)}
    found |= {f"output/{i}": value.asnumpy() for i, value in enumerate(results)}
    found |= {f"input_gradient/{i}": value.grad.asnumpy() for i, value in enumerate(inputs)}
    for name, parameter in net.collect_params().items():
        # That of a PReLU that runs twice is wrong, too.
        if parameter.grad_req != "null" and "prelu" not in name:
            found[f"gradient/{name}"] = parameter.grad().asnumpy()
    return found


def inner_values(net, inputs, path):
    """What each node of the symbol computes."""
    symbol = mx.sym.load(f"{path}-symbol.json")
    inner = symbol.get_internals()
    variables = {*symbol.list_arguments(), *symbol.list_auxiliary_states()}
    every = inner.list_outputs()
    names = [name for name in every if name.endswith("_output") and every.count(name) == 1]
    block = gluon.SymbolBlock(
        [inner[name] for name in names], [mx.sym.var(n) for n in sorted(variables) if n.startswith("data")]
    )
    for name, parameter in block.collect_params().items():
        parameter.initialize()
        parameter.set_data(net.collect_params()[name].data())
    values = block(*inputs)
    values = values if isinstance(values, (list, tuple)) else [values]
    return {f"inner/{name.removesuffix('_output')}": value.asnumpy() for name, value in zip(names, values, strict=True)}


def write(name, make, shapes):
    inputs = [mx.nd.array(by_rule(f"data{i}", shape) * 2) for i, shape in enumerate(shapes)]
    net = filled(make(), inputs)
    path = HERE / name
    net.export(str(path))
    net.save_parameters(f"{path}.params")
    found = references(net, inputs)
    found |= inner_values(net, inputs, path)
    np.savez_compressed(f"{path}.npz", **found)
    keys = {key: parameter.name for key, parameter in net._collect_params_with_prefix().items()}
    (HERE / f"{name}.names.json").write_text(json.dumps(keys, indent=0) + "\n")
    shrink(f"{path}-symbol.json")


def shrink(path):
    Path(path).write_text(json.dumps(json.loads(Path(path).read_text()), separators=(",", ":")) + "\n")


def write_zoo():
    shapes, outputs = {}, {}
    for name, (make, size) in ZOO.items():
        inputs = [mx.nd.array(by_rule("data", (1, 3, size, size)) * 2)]
        net = filled(make(), inputs)
        net.export(str(HERE / f"zoo_{name}"))
        (HERE / f"zoo_{name}-0000.params").unlink()
        shrink(HERE / f"zoo_{name}-symbol.json")
        outputs[name] = net(*inputs).asnumpy()
        shapes[name] = {key: parameter.shape for key, parameter in net.collect_params().items()}
        keys = net._collect_params_with_prefix()
        shapes[name] = {"size": size, "parameters": [[key, keys[key].name, keys[key].shape] for key in keys]}
    np.savez_compressed(HERE / "zoo.npz", **outputs)
    (HERE / "zoo.json").write_text(json.dumps(shapes, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for name, (make, shapes) in NETWORKS.items():
        write(name, make, shapes)
    write_zoo()
    sys.stdout.write("".join(f"{path.stat().st_size:9d} {path.name}\n" for path in sorted(HERE.iterdir())))
