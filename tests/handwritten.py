"""Small networks with a forward written by hand, of the kinds that people write."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Basic(nn.Module):
    """A residual block, with a shortcut of layers where the size changes."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    """A stem, two stages of residual blocks, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.layer1 = nn.Sequential(Basic(4, 4), Basic(4, 4))
        self.layer2 = nn.Sequential(Basic(4, 8, 2), Basic(8, 8))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = self.layer2(self.layer1(x))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Projected(nn.Module):
    """A shortcut of one layer, which has no list of layers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.shortcut = nn.Conv2d(3, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)) + self.shortcut(x), 0.1)


class Double(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Up(nn.Module):
    """A decoder of two inputs, which brings one to the size of the other."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = Double(before, after)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
        return self.conv(torch.cat([skip, x], dim=1))


class UNet(nn.Module):
    """Encoders and decoders in lists, with a list of skips."""

    def __init__(self) -> None:
        super().__init__()
        self.encoders = nn.ModuleList([Double(3, 4), Double(4, 8)])
        self.bottom = Double(8, 16)
        self.decoders = nn.ModuleList([Up(24, 8), Up(12, 4)])
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] < 4:
            raise ValueError("too small")
        skips = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for decoder in self.decoders:
            x = decoder(x, skips.pop())
        return self.head(x)


class DenseLayer(nn.Module):
    def __init__(self, before: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(before)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(before, 2, 3, padding=1)

    def forward(self, features: Any) -> Tensor:
        before = [features] if isinstance(features, Tensor) else features
        return self.conv(self.relu(self.norm(torch.cat(before, 1))))


class Dense(nn.ModuleDict):
    """Layers that receive a list of all values before them."""

    def __init__(self) -> None:
        super().__init__({f"layer{i + 1}": DenseLayer(3 + 2 * i) for i in range(3)})

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch1 = nn.Conv2d(3, 2, 1)
        self.branch2 = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 3, padding=1))
        self.branch_pool = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        branch1 = self.branch1(x)
        branch2 = self.branch2(x)
        pooled = self.branch_pool(F.avg_pool2d(x, kernel_size=3, stride=1, padding=1))
        return torch.cat([branch1, branch2, pooled], 1)


class Squeeze(nn.Module):
    """Squeeze and excitation, by sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(8, 2)
        self.fc2 = nn.Linear(2, 8)

    def forward(self, x: Tensor) -> Tensor:
        b, c, _, _ = x.size()
        scale = F.relu(self.fc1(x.mean((2, 3))))
        scale = torch.sigmoid(self.fc2(scale)).view(b, c, 1, 1)
        return x * scale


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Linear(4, 8)
        self.time = nn.Linear(3, 8)

    def forward(self, x: Tensor, t: Tensor, scale: float = 2.0, mask: Tensor | None = None) -> Tensor:
        h = self.image(x)
        h = F.silu(h + self.time(t)) * scale - h
        return h if mask is None else h * mask


class Several(nn.Module):
    """Several results, one of them from inside a part."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(Double(3, 4), nn.MaxPool2d(2))
        self.second = Double(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        low = self.first(x)
        high = self.second(low)
        return high, low, 1 - high


class Shared(nn.Module):
    """One layer with weights and one without, called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.fold = nn.Linear(4, 4)
        self.act = nn.Tanh()
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = self.act(self.fold(x)) + x
        return self.last(x)


class Dropped(nn.Module):
    """Dropout by function, which follows the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 6)
        self.b = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.a(x), 0.4, self.training)
        return F.dropout(self.b(x), p=0.2, training=self.training)


class DropPath(nn.Module):
    """Does nothing in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(0.5)
        return x * keep


class Stochastic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.drop = DropPath()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.a(x))


class Split(nn.Module):
    """Chunks, a layer that returns tuples, indexing."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Linear(4, 8)
        self.lstm = nn.LSTM(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.widen(x).chunk(2, dim=-1)
        out, (h, _) = self.lstm(value * torch.sigmoid(gate))
        return out[:, -1] + h[0]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.proj = nn.Linear(8, 8)
        self.heads = 2

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        qkv = self.qkv(self.norm(x)).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        weights = (q @ k.transpose(-2, -1)) * (c // self.heads) ** -0.5
        return self.proj((weights.softmax(dim=-1) @ v).transpose(1, 2).reshape(b, n, c))


class Encoder(nn.Module):
    """A layer of several inputs that stays whole, called with constants."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.attention(y, y, y, need_weights=False)[0]


class Tokens(nn.Module):
    """Values made from sizes alone."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 4)
        self.places = nn.Embedding(20, 4)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.shape[1], device=x.device)
        return self.words(x) + self.places(places)


class Scale(nn.Module):
    """A parameter that the forward uses directly."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((4,), 0.5))
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma * self.inner(x)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Scale(), Scale()])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return F.gelu(x)


class Turns(nn.Module):
    """Two lists of layers, called in turns."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 3, 1) for _ in range(2)])
        self.blocks = nn.ModuleList([Projected() for _ in range(2)])
        self.narrow = nn.ModuleDict({"a": nn.Conv2d(6, 3, 1), "b": nn.Conv2d(6, 3, 1)})

    def forward(self, x: Tensor) -> Tensor:
        for conv, block, narrow in zip(self.convs, self.blocks, self.narrow.values(), strict=True):
            x = narrow(block(conv(x))) + x
        return x


class Padded(nn.Module):
    """Sizes computed from the difference of two others."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 4, 2, 2)
        self.down = nn.Conv2d(4, 4, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(self.down(x))
        dy, dx = x.shape[2] - y.shape[2], x.shape[3] - y.shape[3]
        y = F.pad(y, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return torch.cat([x, y], dim=1)


class Written(nn.Module):
    """Writes into parts of a value."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros(x.shape[0], 4, x.shape[2], x.shape[3], dtype=x.dtype, device=x.device)
        y[:, ::2] = self.conv(x)
        y[:, 1::2] = x
        return y.flatten(1)


class Tied(nn.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(4, 4)
        self.decode = self.encode

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(torch.relu(self.encode(x)))


class Preactivated(nn.Module):
    """An activation in place changes what the shortcut reads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 4)
        self.relu = nn.ReLU(inplace=True)
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        identity = x
        return self.linear(self.relu(x)) + identity


class Listed(nn.Module):
    """Calls the entries of a sequence one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(x)
        return sum(found)


class Masked(nn.Module):
    """The size of a value depends on numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = Double(3, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.head(y.mean((2, 3))) + y[y > 0.5].sum()


class ThroughViews(nn.Module):
    """A value is changed through a view of it."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        first = a[:, 0]
        first += b[:, 1]
        return a * 2 + x


class Deciding(nn.Module):
    """What it does depends on numbers."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return -x


class DecidingLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) if x.sum() > 0 else x


class Around(nn.Module):
    """A network around another one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.last = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.inner(x))


class Auxiliary(nn.Module):
    """Has one more result in training."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.aux = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        y = self.body(x)
        if self.training:
            return y, self.aux(y)
        return y


class Unrolled(nn.Module):
    """A loop over a size."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros_like(x[:, 0])
        for i in range(x.shape[1]):
            state = torch.tanh(self.step(x[:, i]) + state)
        return state
